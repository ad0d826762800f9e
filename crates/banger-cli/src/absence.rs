//! A guest that is away: it gives no sign of life because it hangs, is stopped, or its host is busy. Streams live as long as
//! their machine, so whoever uses one is told, and goes on when the guest does.

use std::convert::Infallible;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use banger_api::{ErrorCode, EventView, EventsQuery, VmView, route};
use banger_client::{Client, absence, absent_since};
use bytes::Bytes;
use http_body_util::BodyExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{CliError, Kind};

/// A command that is over sooner asks nothing.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// Between two tries to follow a daemon that went away.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// A guest that does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the guest of `{vm}` has not answered since {since}")]
pub(crate) struct AwayError {
    vm: String,
    since: String,
    source: CliError,
}

impl AwayError {
    pub(crate) fn new(vm: &str, since: &str, source: CliError) -> Self {
        Self { vm: vm.to_owned(), since: since.to_owned(), source }
    }
}

impl From<AwayError> for CliError {
    fn from(error: AwayError) -> Self {
        let hint = format!("it may be busy and come back; see `banger vm logs {}`", error.vm);
        Self::failed(error).with_hint(hint)
    }
}

/// Tells on stderr when the guest of a VM is away, and when it is back; for as long as it is polled.
pub(crate) async fn tell(client: &Client, vm: &VmView) -> Infallible {
    let mut told = Told { name: vm.name.to_string(), is_away: false };
    let follow = route::LIST_EVENTS.asking(&EventsQuery { after: None, follow: true });
    loop {
        tokio::time::sleep(if told.is_away { RETRY_PAUSE } else { QUIET_TIME }).await;
        // The daemon tells what changes from now on; what is so by now is asked.
        let Ok(mut events) = client.stream(&follow).await else { continue };
        loop {
            let now = absence(client, vm).await;
            if let Some(news) = told.news(now.as_ref()) {
                write_line(&news);
            }
            if wait_for_change(&mut events, vm).await.is_none() {
                break;
            }
        }
    }
}

/// An error of a guest that may be away is told as that.
pub(crate) async fn explain(client: &Client, vm: &VmView, error: CliError) -> CliError {
    let may_be_away = matches!(error.kind(), Kind::Silent) || error.is_refused_as(ErrorCode::OperationFailed);
    if !may_be_away {
        return error;
    }
    match absent_since(client, vm).await {
        Some(since) => AwayError::new(vm.name.as_str(), &clock_time(&since), error).into(),
        None => error,
    }
}

/// Waits until something has happened to the VM; `None`: the daemon says nothing more.
async fn wait_for_change(events: &mut (impl BodyExt<Data = Bytes> + Unpin), vm: &VmView) -> Option<()> {
    let mut waiting = Vec::new();
    loop {
        let Ok(bytes) = events.frame().await?.ok()?.into_data() else { continue };
        waiting.extend_from_slice(&bytes);
        let Some(last) = waiting.iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = waiting.split_off(last + 1);
        let lines = waiting.split(|byte| *byte == b'\n');
        let mut events = lines.filter_map(|line| serde_json::from_slice::<EventView>(line).ok());
        let is_change = |event: EventView| event.vm_id.as_deref() == Some(vm.id.as_str());
        if events.any(is_change) {
            return Some(());
        }
        waiting = rest;
    }
}

/// What was told last.
struct Told {
    name: String,
    is_away: bool,
}

impl Told {
    /// Returns what is to be told of a guest that runs and is away since a moment or there. One that does not run is not back:
    /// whoever uses it is told of its end.
    fn news(&mut self, now: Option<&Option<String>>) -> Option<String> {
        let since = now?;
        if since.is_some() == self.is_away {
            return None;
        }
        self.is_away = since.is_some();
        let name = &self.name;
        Some(match since {
            Some(since) => {
                let since = clock_time(since);
                format!("banger: the guest of `{name}` has not answered since {since}; waiting for it")
            }
            None => format!("banger: the guest of `{name}` answers again"),
        })
    }
}

fn write_line(line: &str) {
    // A terminal may be in raw mode, where a new line does not begin at its left.
    let end = if io::stderr().is_terminal() { "\r\n" } else { "\n" };
    let _ = io::stderr().write_all(format!("{line}{end}").as_bytes());
}

/// Returns the time of the user's clock.
fn clock_time(moment: &str) -> String {
    let Ok(moment) = moment.parse::<Timestamp>() else { return "a while ago".to_owned() };
    moment.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_clock_has_no_date() {
        let told = clock_time("2026-01-01T12:03:05Z");
        assert!(told.len() == 8 && told.ends_with(":03:05"), "{told}");
        assert_eq!(clock_time("?"), "a while ago");
    }

    #[test]
    fn a_guest_that_ended_while_it_was_away_does_not_answer_again() {
        let mut told = Told { name: "dev".into(), is_away: false };
        let away = Some("2026-01-01T12:03:05Z".to_owned());
        assert!(told.news(Some(&away)).unwrap().contains("`dev` has not answered since "));
        assert_eq!(told.news(Some(&away)), None);
        assert_eq!(told.news(None), None, "it has ended");
        assert_eq!(told.news(Some(&None)).unwrap(), "banger: the guest of `dev` answers again");
        assert_eq!(told.news(None), None);
        assert_eq!(told.news(Some(&None)), None);
    }
}
