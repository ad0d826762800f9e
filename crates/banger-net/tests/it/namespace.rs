//! Network namespaces. Each thread has one; a socket belongs to that of the thread that opened it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Lets this process make network namespaces: root may, and others may in a user namespace of their own.
pub(crate) fn become_root_of_networks() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// A network namespace. It lives as long as this, a thread or a socket in it.
#[derive(Clone)]
pub(crate) struct Namespace(std::sync::Arc<File>);

impl Namespace {
    pub(crate) fn new() -> Self {
        let thread = std::thread::spawn(|| {
            unshare(UnshareFlags::NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = Self(thread.join().unwrap().into());
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs something in it.
    pub(crate) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|threads| {
            let thread = threads.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                act()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn ip(&self, arguments: &str) {
        self.command("ip", arguments);
    }

    fn command(&self, program: &str, arguments: &str) {
        let output = self.run(|| Command::new(program).args(arguments.split(' ')).output().unwrap());
        assert!(output.status.success(), "{program} {arguments}: {output:?}");
    }

    /// Moves an interface of this namespace into another one.
    pub(crate) fn give(&self, interface: &str, to: &Self) {
        use std::os::fd::AsRawFd as _;
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), to.0.as_raw_fd());
        self.ip(&format!("link set {interface} netns {namespace}"));
    }
}

/// Shows other files in place of those of the system, to this thread and to what it starts.
pub(crate) fn replace_files(files: &[(PathBuf, PathBuf)]) {
    unshare(UnshareFlags::NEWNS).unwrap();
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", flags).unwrap();
    for (from, to) in files {
        // A system without the file has nothing to be replaced.
        if to.exists() {
            mount_bind(from, to).unwrap();
        }
    }
}

#[expect(
    unsafe_code,
    reason = "unsharing is unsafe where it takes away files; here it takes away the network"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only the namespaces of this thread change; no memory and no descriptors.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}
