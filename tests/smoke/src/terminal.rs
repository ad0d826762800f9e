//! A terminal with a running program, as a person at a keyboard sees it and types into it.
//! Source: `pty(7)`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Banger;
use crate::run::status_number;

/// How long a text may take to appear.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program and its terminal.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    read_to: usize,
}

impl Terminal {
    /// Starts `banger` on a terminal of this size.
    ///
    /// # Panics
    /// If there is no terminal.
    #[must_use]
    pub fn start(banger: Banger, columns: u16, rows: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        set_size(&master, columns, rows);
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = name.to_str().unwrap().to_owned();
        let open = || Stdio::from(File::options().read(true).write(true).open(&path).expect("its other end"));
        let mut command = banger.into_command();
        command.env("TERM", "xterm").stdin(open()).stdout(open()).stderr(open());
        #[expect(unsafe_code, reason = "a terminal becomes a program's own only inside the new process")]
        // SAFETY: both calls are async-signal-safe and touch nothing of the parent's memory.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().expect("`banger` can be started");
        drop(command);
        let mut reader = File::from(master.try_clone().unwrap());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The read fails when the last program on the terminal has ended.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer.get(..count).unwrap_or_default().to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { master: File::from(master), child, output, seen: String::new(), read_to: 0 }
    }

    /// Types these keys.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until this text appears after the text that was waited for before.
    ///
    /// # Panics
    /// If it does not appear.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let unread = self.seen.get(self.read_to..).unwrap_or_default();
            if let Some(at) = unread.find(text) {
                self.read_to += at + text.len();
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{text}` did not appear; the terminal shows: {unread:?}")
                }
            }
        }
    }

    /// Changes the terminal's size, as a window does.
    pub fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.master, columns, rows);
    }

    /// Waits for the end of the program and returns its exit status.
    ///
    /// # Panics
    /// If it cannot be waited for.
    #[must_use]
    pub fn wait(mut self) -> i32 {
        status_number(self.child.wait().expect("the program can be waited for"))
    }
}
fn set_size(terminal: impl std::os::fd::AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("the size can be set");
}
