//! The guest's console log: its last lines for an error, and all of it for `vm logs`, followed by inotify.
//! Source: `inotify(7)`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use banger_vmm::Machine;
use bytes::Bytes;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::command::CommandFiles;
use super::line_label::LineLabel;

/// Lines of the console that an error shows.
const LINES_MAX: usize = 12;
/// How much of the log's end is looked at for them.
const TAIL_BYTES: u64 = 16 * 1024;
/// Bytes per read.
const CHUNK_BYTES: usize = 32 * 1024;

/// Lines that a kernel writes at every boot here and that look like a reason: a machine without a PCI bus is what it
/// should be.
const HARMLESS: [&str; 1] = ["PCI: Fatal: No config space access function found"];

/// Returns the last lines of a console log that may tell a reason, without carriage returns; none when it cannot be read.
pub(super) fn last_lines(path: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = VecDeque::new();
    let tells_reason = |line: &&str| !line.is_empty() && !HARMLESS.iter().any(|words| line.ends_with(words));
    for line in text.lines().map(str::trim_end).filter(tells_reason) {
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.chars().filter(|character| !character.is_control()).collect());
    }
    lines.into()
}

/// Reads a console log from its begin.
pub struct ConsoleReader {
    file: File,
    changes: Option<AsyncFd<OwnedFd>>,
    machine: Option<Arc<dyn Machine>>,
    label: Option<LineLabel>,
    /// Whose output it is: its end ends the log.
    command: Option<FollowedCommand>,
}

/// A command whose output is followed.
struct FollowedCommand {
    files: CommandFiles,
    /// Announces its end, among others.
    events: watch::Receiver<i64>,
}

impl ConsoleReader {
    /// Opens the log; a VM that never ran has an empty one.
    pub(super) fn open(path: &Path, machine: Option<Arc<dyn Machine>>) -> io::Result<Self> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open("/dev/null")?,
            opened => opened?,
        };
        let changes = match &machine {
            Some(_) => Some(watch_file(path)?),
            None => None,
        };
        Ok(Self { file, changes, machine, label: None, command: None })
    }

    /// Opens the output of a VM's command. `events` announces its end; what its processes write later is not followed.
    pub(super) fn of_command(
        files: CommandFiles,
        machine: Option<Arc<dyn Machine>>,
        events: watch::Receiver<i64>,
    ) -> io::Result<Self> {
        let path = files.log_path();
        // Without a command there is nothing to follow.
        let reader = Self::open(&path, machine.filter(|_| path.exists()))?;
        Ok(Self { command: Some(FollowedCommand { files, events }), ..reader })
    }

    /// Puts the name of a program before each line.
    pub(super) fn labelled(self, program: &str) -> Self {
        Self { label: Some(LineLabel::of(program)), ..self }
    }

    /// Returns the next bytes; `None` at the end. With `follow`, the end is the machine's.
    ///
    /// # Errors
    /// As `read(2)`.
    pub async fn next(&mut self, follow: bool) -> io::Result<Option<Bytes>> {
        loop {
            // Asked before reading: what was written before the end is read in any case.
            if self.command.as_ref().is_some_and(FollowedCommand::has_ended) {
                self.machine = None;
            }
            let chunk = self.read_chunk()?;
            let chunk = match (chunk, &mut self.label) {
                (Some(chunk), Some(label)) => Some(label.label(&chunk)),
                (None, Some(label)) if !follow => label.end(),
                (chunk, _) => chunk,
            };
            if chunk.is_some() || !follow {
                return Ok(chunk);
            }
            let (Some(changes), Some(machine)) = (&self.changes, &self.machine) else { return Ok(None) };
            tokio::select! {
                biased;
                more = changes.readable() => drain(&mut more?)?,
                () = news_of(&mut self.command) => {}
                _ = machine.ended() => {
                    self.machine = None;
                }
            }
        }
    }

    fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut buffer = vec![0; CHUNK_BYTES];
        if self.command.is_some() {
            // Earlier output is not kept. At the end there is no more data, which is an error here.
            let position = self.file.stream_position()?;
            let _ = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(position));
        }
        let mut count = self.file.read(&mut buffer)?;
        // A log that has grown too long is emptied under its readers.
        if count == 0 && self.file.metadata()?.len() < self.file.stream_position()? {
            self.file.rewind()?;
            count = self.file.read(&mut buffer)?;
        }
        buffer.truncate(count);
        Ok((count > 0).then(|| buffer.into()))
    }
}

impl FollowedCommand {
    fn has_ended(&self) -> bool {
        self.files.record().is_none_or(|record| record.has_ended())
    }
}

/// Waits for something that may be the end of a command; for ever without one.
async fn news_of(command: &mut Option<FollowedCommand>) {
    match command {
        Some(command) => {
            // The channel lives as long as the daemon.
            let _ = command.events.changed().await;
        }
        None => std::future::pending().await,
    }
}

fn watch_file(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&descriptor, path, inotify::WatchFlags::MODIFY)?;
    banger_sys::event::watch(descriptor)
}

fn drain(guard: &mut tokio::io::unix::AsyncFdReadyGuard<'_, OwnedFd>) -> io::Result<()> {
    let mut events = [0; 4096];
    loop {
        match rustix::io::read(guard.get_inner(), &mut events) {
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) => {
                guard.clear_ready();
                return Ok(());
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_come_without_control_characters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        let text: String = (0..30).map(|number| format!("line {number}\r\n\r\n")).collect();
        std::fs::write(&path, text + "\x1b[0mKernel panic\r\n").unwrap();
        let lines = last_lines(&path);
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines.last().unwrap(), "[0mKernel panic");
        assert_eq!(last_lines(&directory.path().join("missing")), [""; 0]);
    }

    #[test]
    fn a_line_of_every_boot_is_no_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        std::fs::write(&path, "[    0.75] PCI: Fatal: No config space access function found\r\nno init\r\n")
            .unwrap();
        assert_eq!(last_lines(&path), ["no init"]);
    }

    #[tokio::test]
    async fn a_log_without_a_machine_is_read_to_its_end_even_when_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        std::fs::write(&path, "hello").unwrap();
        let mut reader = ConsoleReader::open(&path, None).unwrap();
        assert_eq!(reader.next(true).await.unwrap().unwrap(), "hello");
        assert_eq!(reader.next(true).await.unwrap(), None);
    }
}
