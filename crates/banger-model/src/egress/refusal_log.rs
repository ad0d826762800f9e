//! The refused attempts of one guest: each once, with a count.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::refusal::{Attempted, Refusal};

/// Number of different refused attempts that are kept. When there are more, the one that was seen longest ago is forgotten.
pub const REFUSALS_MAX: usize = 1024;

/// A refused attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedAttempt {
    /// What was tried.
    pub attempted: Attempted,
    /// Why it was refused.
    pub refusal: Refusal,
    /// How often, at least 1.
    pub count: u64,
    /// When it was tried first, in seconds since 1970.
    pub first_seconds: u64,
    /// When it was tried last, in seconds since 1970.
    pub last_seconds: u64,
}

/// The log.
#[derive(Clone, Debug, Default)]
pub struct RefusalLog {
    entries: HashMap<(Attempted, Refusal), Seen>,
    notes: u64,
    forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    first_seconds: u64,
    last_seconds: u64,
    /// Number of the note that was last, because many fall into one second.
    last_note: u64,
}

impl RefusalLog {
    /// Notes a refusal. Returns whether it is the first of its kind, so that the caller tells of it once.
    pub fn note(&mut self, attempted: Attempted, refusal: Refusal, now_seconds: u64) -> bool {
        self.notes = self.notes.saturating_add(1);
        let last_note = self.notes;
        let key = (attempted, refusal);
        if let Some(seen) = self.entries.get_mut(&key) {
            seen.count = seen.count.saturating_add(1);
            (seen.last_seconds, seen.last_note) = (now_seconds, last_note);
            return false;
        }
        if self.entries.len() >= REFUSALS_MAX {
            self.forget_one();
        }
        self.entries
            .insert(key, Seen { count: 1, first_seconds: now_seconds, last_seconds: now_seconds, last_note });
        true
    }

    fn forget_one(&mut self) {
        // A guest that fills the log pays for this look at all entries by its own waiting.
        let oldest = self.entries.iter().min_by_key(|(_, seen)| seen.last_note).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.entries.remove(&key);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// Returns the number of attempts that were forgotten because there were too many different ones.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Returns the refused attempts, the latest last.
    #[must_use]
    pub fn entries(&self) -> Vec<RefusedAttempt> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(_, seen)| seen.last_note);
        let told = entries.into_iter().map(|((attempted, refusal), seen)| RefusedAttempt {
            attempted: attempted.clone(),
            refusal: refusal.clone(),
            count: seen.count,
            first_seconds: seen.first_seconds,
            last_seconds: seen.last_seconds,
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::Protocol;

    fn connection(port: u16) -> Attempted {
        Attempted::Connection { protocol: Protocol::Tcp, address: [192, 0, 2, 1].into(), port, name: None }
    }

    #[test]
    fn each_attempt_is_kept_once_with_its_count_and_times() {
        let mut log = RefusalLog::default();
        assert!(log.note(connection(1), Refusal::NotAllowed, 10));
        assert!(log.note(connection(2), Refusal::NotAllowed, 11));
        assert!(!log.note(connection(1), Refusal::NotAllowed, 12));
        assert!(log.note(connection(1), Refusal::NoName, 12));
        let told: Vec<_> = log
            .entries()
            .iter()
            .map(|entry| (entry.count, entry.first_seconds, entry.last_seconds))
            .collect();
        assert_eq!(told, [(1, 11, 11), (2, 10, 12), (1, 12, 12)]);
    }

    #[test]
    fn the_log_is_bounded_and_forgets_what_was_seen_longest_ago() {
        let mut log = RefusalLog::default();
        for port in 0..u16::try_from(REFUSALS_MAX).unwrap() {
            log.note(connection(port), Refusal::NotAllowed, 0);
        }
        assert!(!log.note(connection(0), Refusal::NotAllowed, 0), "seen again, so the next one goes");
        assert!(log.note(connection(5000), Refusal::NotAllowed, 0));
        assert_eq!((log.entries().len(), log.forgotten()), (REFUSALS_MAX, 1));
        assert!(!log.note(connection(0), Refusal::NotAllowed, 0));
        assert!(log.note(connection(1), Refusal::NotAllowed, 0), "it was forgotten");
    }

    #[test]
    fn an_entry_stays_the_same_when_it_is_written_and_read_again() {
        let mut log = RefusalLog::default();
        log.note(connection(7), Refusal::Denied { rule: "deny *:7".to_owned() }, 3);
        log.note(Attempted::Lookup { name: "a.org".parse().unwrap() }, Refusal::NotAllowed, 4);
        let entries = log.entries();
        let text = serde_json::to_string(&entries).unwrap();
        assert_eq!(serde_json::from_str::<Vec<RefusedAttempt>>(&text).unwrap(), entries);
        assert!(text.contains(r#"{"kind":"lookup","name":"a.org"}"#), "{text}");
    }
}
