//! Answers of servers for as long as they are valid.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use banger_model::egress::HostName;
use hickory_proto::rr::RecordType;

use super::super::message::Query;
use super::records::Found;

const ANSWERS_MAX: usize = 512;
/// Answers with more records are rare and not worth their memory.
const RECORDS_MAX: usize = 32;

/// Name and type of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(HostName, RecordType);

impl Key {
    pub(super) fn of(query: &Query) -> Self {
        Self(query.name.clone(), query.kind)
    }
}

/// An answer with its age. The policy is applied whenever it is used.
#[derive(Clone, Debug)]
pub(super) struct Cached {
    pub(super) found: Found,
    since: Instant,
    end: Instant,
}

impl Cached {
    pub(super) fn new(found: Found, now: Instant, ttl: Duration) -> Self {
        Self { found, since: now, end: now + ttl }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: HashMap<Key, Cached>,
}

impl Cache {
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<&Cached> {
        self.answers.get(key).filter(|cached| cached.end > now)
    }

    /// Keeps an answer that is valid for some time. If there are too many, the one that becomes invalid first goes.
    pub(super) fn insert(&mut self, key: Key, cached: &Cached, now: Instant) {
        if cached.end <= now || cached.found.answer.records.len() > RECORDS_MAX {
            return;
        }
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.retain(|_, kept| kept.end > now);
        }
        let first = || self.answers.iter().min_by_key(|(_, kept)| kept.end).map(|(key, _)| key.clone());
        if self.answers.len() >= ANSWERS_MAX
            && let Some(first) = first()
        {
            self.answers.remove(&first);
        }
        self.answers.insert(key, cached.clone());
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::ResponseCode;

    use super::*;

    fn key(number: usize) -> Key {
        Key(format!("n{number}.org").parse().unwrap(), RecordType::A)
    }

    fn cached(now: Instant, secs: u64) -> Cached {
        let found = Found::of_code(&"a.org".parse().unwrap(), ResponseCode::NoError);
        Cached::new(found, now, Duration::from_secs(secs))
    }

    #[test]
    fn answers_are_kept_for_their_time() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.insert(key(1), &cached(now, 10), now);
        cache.insert(key(2), &cached(now, 0), now);
        let later = now + Duration::from_secs(9);
        assert_eq!(cache.get(&key(1), later).map(|kept| kept.age(later).as_secs()), Some(9));
        assert!(
            cache.get(&key(1), now + Duration::from_secs(10)).is_none() && cache.get(&key(2), now).is_none()
        );
    }

    #[test]
    fn the_cache_is_bounded() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..ANSWERS_MAX + 5 {
            cache.insert(key(number), &cached(now, 100 + u64::try_from(number).unwrap()), now);
        }
        assert_eq!(cache.answers.len(), ANSWERS_MAX);
        assert!(cache.get(&key(4), now).is_none() && cache.get(&key(5), now).is_some());
    }
}
