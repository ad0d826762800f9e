//! The command that `vm run -d` started in a VM: a record of it and the end of its output, in two files of the VM. Both
//! outlive the machine, the daemon and a daemon that was killed.
//!
//! The log is sparse: a byte of the output has its own position in the file, and the file system's blocks before the last
//! [`KEPT_BYTES`] are given back. So the length of the file tells how much of the output is there already.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use banger_guest::{CommandPosition, ExitOutcome};
use banger_sys::files::write_atomic;
use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};

use crate::facts::CommandFacts;

const RECORD: &str = "command.json";
const LOG: &str = "command.log";
/// Bytes at the end of the output that are kept at least.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;
/// How much is given back at a time. A multiple of every file system's block.
const STEP_BYTES: u64 = 1024 * 1024;
/// Longest output. A guest that claims more is not believed.
const OUTPUT_BYTES_MAX: u64 = 1 << 42;
const VERSION: u32 = 1;

/// What is known of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    argv: Vec<String>,
    /// By the guest's clock; identifies the command.
    started_unix_nanos: u64,
    end: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    /// Absent if nobody saw it end.
    at_ms: Option<i64>,
    how: How,
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Code(u8),
    Signal(i32),
    Unknown,
}

/// The two files of a VM's directory.
#[derive(Clone, Debug)]
pub(super) struct CommandFiles {
    directory: PathBuf,
}

impl CommandFiles {
    pub(super) fn of(vm_directory: &Path) -> Self {
        Self { directory: vm_directory.to_owned() }
    }

    /// Returns the path of the output.
    pub(super) fn log_path(&self) -> PathBuf {
        self.directory.join(LOG)
    }

    /// Returns what is known; `None` if no command was started, or if a later version wrote it.
    pub(super) fn record(&self) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(self.directory.join(RECORD)).ok()?).ok()?;
        (record.version == VERSION).then_some(record)
    }

    /// Returns what is here already.
    pub(super) fn position(&self) -> CommandPosition {
        let Some(record) = self.record() else { return CommandPosition::default() };
        let output_bytes = fs::metadata(self.log_path()).map_or(0, |log| log.len());
        CommandPosition { started_unix_nanos: record.started_unix_nanos, output_bytes }
    }

    /// Records that a command has begun; what is here of it is kept, and of any other one removed.
    pub(super) fn begin(&self, argv: Vec<String>, started_unix_nanos: u64) -> io::Result<()> {
        if self.record().is_some_and(|record| record.started_unix_nanos == started_unix_nanos) {
            return Ok(());
        }
        // Emptied first: the output of one command is never taken for another's.
        self.open_log()?.set_len(0)?;
        self.write(&Record { version: VERSION, argv, started_unix_nanos, end: None })
    }

    /// Adds output.
    pub(super) fn output(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let log = self.open_log()?;
        let length = log.metadata()?.len();
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if offset < length || end > OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        log.write_all_at(bytes, offset)?;
        let steps = |length: u64| length.saturating_sub(KEPT_BYTES) / STEP_BYTES;
        if steps(end) > steps(length) {
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&log, punch, 0, steps(end) * STEP_BYTES)?;
        }
        Ok(())
    }

    /// Records the end; `None` if it was recorded before.
    pub(super) fn end(
        &self,
        at_ms: i64,
        outcome: ExitOutcome,
        note: Option<String>,
    ) -> io::Result<Option<Record>> {
        let how = match outcome {
            ExitOutcome::Code(code) => How::Code(code),
            ExitOutcome::Signal(signal) => How::Signal(signal),
        };
        self.set_end(End { at_ms: Some(at_ms), how, note })
    }

    /// Records that nobody saw the command end; does nothing if its end is known, or if there was no command.
    pub(super) fn lose(&self, why: &str) -> io::Result<Option<Record>> {
        self.set_end(End { at_ms: None, how: How::Unknown, note: Some(why.to_owned()) })
    }

    fn set_end(&self, end: End) -> io::Result<Option<Record>> {
        let Some(record) = self.record().filter(|record| record.end.is_none()) else { return Ok(None) };
        let record = Record { end: Some(end), ..record };
        self.write(&record)?;
        Ok(Some(record))
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        write_atomic(&self.directory.join(RECORD), &text, 0o600).map_err(io::Error::other)
    }

    fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.log_path())
    }
}

impl Record {
    /// Whether its end is known, or at least that it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Tells how it ended, in words.
    pub(super) fn ending(&self) -> String {
        let how = match self.end.as_ref().map(|end| end.how) {
            None => return "command is running".to_owned(),
            Some(How::Code(code)) => format!("command ended with status {code}"),
            Some(How::Signal(signal)) => format!("command was ended by signal {signal}"),
            Some(How::Unknown) => "command ended".to_owned(),
        };
        match self.end.as_ref().and_then(|end| end.note.as_deref()) {
            Some(note) => format!("{how}: {note}"),
            None => how,
        }
    }

    /// Returns what is known of it now. Without a machine no command runs.
    pub(super) fn facts(self, has_machine: bool) -> CommandFacts {
        let started_at_ms = i64::try_from(self.started_unix_nanos / 1_000_000).unwrap_or(i64::MAX);
        let (exit_code, signal) = match self.end.as_ref().map(|end| end.how) {
            Some(How::Code(code)) => (Some(code), None),
            Some(How::Signal(signal)) => (None, Some(signal.unsigned_abs())),
            Some(How::Unknown) | None => (None, None),
        };
        CommandFacts {
            argv: self.argv,
            is_running: self.end.is_none() && has_machine,
            started_at_ms,
            ended_at_ms: self.end.as_ref().and_then(|end| end.at_ms),
            exit_code,
            signal,
            note: match self.end {
                Some(end) => end.note,
                None => (!has_machine).then(|| WITH_THE_VM.to_owned()),
            },
        }
    }
}

/// Why the end of a command is not known whose machine ended first.
pub(super) const WITH_THE_VM: &str = "the VM was stopped";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn files() -> (tempfile::TempDir, CommandFiles) {
        let directory = tempfile::tempdir().unwrap();
        let files = CommandFiles::of(directory.path());
        (directory, files)
    }

    #[test]
    fn a_daemon_goes_on_where_an_earlier_one_was_killed() {
        let (_directory, files) = files();
        assert_eq!(files.position(), CommandPosition::default());
        files.begin(vec!["sleep".into()], 7).unwrap();
        files.output(0, b"hello").unwrap();
        assert_eq!(files.position(), CommandPosition { started_unix_nanos: 7, output_bytes: 5 });
        files.begin(vec!["sleep".into()], 7).unwrap();
        assert_eq!(files.position().output_bytes, 5);
        let ended = files.end(1_000, ExitOutcome::Code(3), None).unwrap().unwrap();
        assert_eq!(ended.ending(), "command ended with status 3");
        assert_eq!(files.end(2_000, ExitOutcome::Code(3), None).unwrap(), None, "the guest tells it again");
        let facts = files.record().unwrap().facts(true);
        assert_eq!((facts.is_running, facts.exit_code), (false, Some(3)));
        assert_eq!(facts.ended_at_ms, Some(1_000));
        files.begin(vec!["other".into()], 8).unwrap();
        assert_eq!(files.position(), CommandPosition { started_unix_nanos: 8, output_bytes: 0 });
    }

    #[test]
    fn a_command_ends_with_its_machine_at_the_latest() {
        let (_directory, files) = files();
        assert_eq!(files.lose(WITH_THE_VM).unwrap(), None, "there was none");
        files.begin(Vec::new(), 1).unwrap();
        let facts = |has_machine| files.record().unwrap().facts(has_machine);
        assert!(facts(true).is_running);
        assert!(!facts(false).is_running);
        let text = files.lose(WITH_THE_VM).unwrap().unwrap().ending();
        assert_eq!(text, "command ended: the VM was stopped");
        let ended = facts(true);
        assert_eq!(
            (ended.is_running, ended.exit_code, ended.signal, ended.ended_at_ms),
            (false, None, None, None)
        );
    }

    #[test]
    fn the_end_of_an_endless_output_is_kept_in_a_bounded_file() {
        let (_directory, files) = files();
        files.begin(Vec::new(), 1).unwrap();
        let chunk = vec![b'x'; 32 * 1024];
        for number in 0..512 {
            files.output(number * 32 * 1024, &chunk).unwrap();
        }
        let log = fs::metadata(files.log_path()).unwrap();
        assert_eq!(log.len(), 16 * 1024 * 1024);
        let allocated = log.blocks() * 512;
        assert!((KEPT_BYTES..=KEPT_BYTES + 2 * STEP_BYTES).contains(&allocated), "{allocated}");
    }

    #[test]
    fn a_guest_cannot_rewrite_its_output_or_make_it_too_long() {
        let (_directory, files) = files();
        files.begin(Vec::new(), 1).unwrap();
        files.output(0, b"hello").unwrap();
        for offset in [0, 4, OUTPUT_BYTES_MAX, u64::MAX] {
            assert_eq!(
                files.output(offset, b"x").unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{offset}"
            );
        }
        // What a daemon missed that was away for too long.
        files.output(100, b"x").unwrap();
    }

    #[test]
    fn a_record_is_read_back_as_an_earlier_version_wrote_it() {
        let (directory, files) = files();
        let text = r#"{"version":1,"argv":["a"],"started_unix_nanos":5,"end":{"at_ms":9,"how":{"signal":15},"note":null}}"#;
        fs::write(directory.path().join(RECORD), text).unwrap();
        assert_eq!(files.record().unwrap().ending(), "command was ended by signal 15");
        assert_eq!(serde_json::to_string(&files.record().unwrap()).unwrap(), text);
        fs::write(directory.path().join(RECORD), text.replace("\"version\":1", "\"version\":2")).unwrap();
        assert_eq!(files.record(), None);
    }
}
