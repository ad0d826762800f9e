//! The one who has files. The process that a guest talks to has none: before the first frame comes, it splits off this process,
//! which keeps the machine's logs short, and tells it on request how the host resolves names. It reads nothing that comes from
//! a guest, and ends with its parent.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use banger_sys::log_guard::keep_short;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use crate::names::HostNaming;

/// What the host's configuration of names consists of. A request is the place of a file in this list.
const FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How long an answer may take, and for how long it is good.
const DEADLINE: Duration = Duration::from_secs(1);

/// The way to the steward.
pub(super) struct Steward {
    socket: OwnedFd,
    asked_at: Option<Instant>,
}

impl Steward {
    /// Splits it off. Call it while this process has one thread, and before it has anything that the steward should not have.
    ///
    /// # Errors
    /// When the kernel has no room for another process.
    pub(super) fn split_off(directory: &Path) -> io::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let parent = getpid();
        #[expect(unsafe_code, reason = "there is no safe fork")]
        // SAFETY: this process has one thread, so the child may go on as its parent does.
        let child = unsafe { libc::fork() };
        match child {
            ..0 => Err(io::Error::last_os_error()),
            0 => {
                drop(ours);
                serve(parent, &theirs, directory)
            }
            1.. => {
                set_socket_timeout(&ours, Timeout::Recv, Some(DEADLINE))?;
                Ok(Self { socket: ours, asked_at: None })
            }
        }
    }

    /// Returns how the host resolves names; `None`: what was said less than a second ago is still good.
    pub(super) fn naming(&mut self) -> Option<HostNaming> {
        if self.asked_at.is_some_and(|at| at.elapsed() < DEADLINE) {
            return None;
        }
        self.asked_at = Some(Instant::now());
        let [resolv_conf, hosts, nsswitch] = [0, 1, 2].map(|file| self.ask(file));
        Some(HostNaming::read(&resolv_conf?, &hosts?, &nsswitch?))
    }

    fn ask(&self, file: u8) -> Option<String> {
        send(&self.socket, &[file], SendFlags::NOSIGNAL).ok()?;
        let mut text = vec![0; TEXT_BYTES_MAX];
        let (_, length) = recv(&self.socket, &mut text, RecvFlags::empty()).ok()?;
        text.truncate(length);
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Is the steward, to the end of its parent.
fn serve(parent: Pid, socket: &OwnedFd, directory: &Path) -> ! {
    let is_bound = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    if !is_bound || getppid() != Some(parent) {
        std::process::exit(1);
    }
    close_input();
    let directory = directory.to_owned();
    if let Err(error) =
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || keep_short(&directory))
    {
        eprintln!("the machine's logs are not kept short: {error}");
    }
    let mut request = [0];
    loop {
        match recv(socket, &mut request, RecvFlags::empty()) {
            Ok((_, 0)) => std::process::exit(0),
            Err(Errno::INTR) => {}
            Err(_broken) => std::process::exit(1),
            Ok(_) => {
                let [file] = request;
                let file = FILES.get(usize::from(file));
                // A file that cannot be read says nothing, as for the host's own library.
                let mut text = file.and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
                text.truncate(TEXT_BYTES_MAX);
                // A parent that has gone does not want to know.
                let _ = send(socket, &text, SendFlags::NOSIGNAL);
            }
        }
    }
}

/// Gives up the way by which the machine is handed over: whoever waits for its end waits for that of the parent.
fn close_input() {
    if let Ok(nothing) = std::fs::File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&nothing);
    }
}
