//! What a program inherits when we start it: no descriptors except those that it is given, and only the environment that it
//! needs.
//!
//! The daemon is started by whoever calls first, and it, its machines and their networks live for days. They must not keep a
//! lock, a pipe or a credential of that caller. A credential helper that reads credentials from its environment therefore
//! finds none; it finds files below `HOME`, and those that `DOCKER_CONFIG` points to.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;

/// The kind of the program that is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heir {
    /// A process of a machine, which lives as long: it serves a guest, which may be hostile.
    Machine,
    /// A tool of the host that ends with its work.
    Tool,
    /// The daemon: it needs everything that its tools need, and its own settings.
    Daemon,
}

/// The search path for programs, and the language.
const OF_ALL: &[&str] = &["PATH", "LANG", "LANGUAGE", "TZ"];

/// The location of the user's files, and the way to the network.
const OF_TOOLS: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "APT_CONFIG",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    // Stores of credentials that helpers access: a keyring over the bus, `pass`.
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
];

const OF_THE_DAEMON: &[&str] = &["RUST_LOG", "RUST_BACKTRACE"];

/// Tells whether a variable is passed on.
fn is_passed(name: &OsStr, to: Heir) -> bool {
    let begins = |prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
    let is_in = |names: &[&str]| names.iter().any(|known| name == *known);
    is_in(OF_ALL)
        || begins("LC_")
        || (to >= Heir::Tool && (is_in(OF_TOOLS) || begins("XDG_")))
        || (to >= Heir::Daemon && (is_in(OF_THE_DAEMON) || begins("BANGER_")))
}

/// Returns the part of this process's environment that is passed on; it always contains a `PATH`.
#[must_use]
pub fn environment(to: Heir) -> Vec<(OsString, OsString)> {
    let others = std::env::vars_os().filter(|(name, _)| name != "PATH" && is_passed(name, to));
    std::iter::once(("PATH".into(), crate::host::search_path())).chain(others).collect()
}

/// Limits what a program that is about to be started inherits: the variables that its kind may have, and no descriptors
/// except the standard streams and those that a later `pre_exec` opens for it. Call this before variables are set and before
/// other `pre_exec`s.
#[expect(unsafe_code, reason = "descriptors can only be closed to a program between fork and exec")]
pub fn limit(command: &mut Command, to: Heir) {
    command.env_clear().envs(environment(to));
    // SAFETY: the closure makes system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(close_at_exec) };
}

/// Marks every descriptor but the standard streams to be closed when the next program begins.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
fn close_at_exec() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: numbers only; nothing is closed before exec.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    match io::Error::last_os_error().raw_os_error() {
        // A kernel before 5.11, or a filter that does not know the call.
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM) => mark_each(),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(unsafe_code, reason = "a number is tried without knowing that it is a descriptor")]
fn mark_each() -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let end = limit.and_then(|limit| libc::c_int::try_from(limit).ok()).unwrap_or(libc::c_int::MAX);
    for number in 3..end {
        // SAFETY: sets a flag of a descriptor of this process; a number that is not a descriptor is refused.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(Errno::BADF.raw_os_error()) {
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[test]
    fn secrets_stay_behind_and_what_is_needed_comes_along() {
        for (name, least) in [
            ("PATH", Heir::Machine),
            ("LC_ALL", Heir::Machine),
            ("HOME", Heir::Tool),
            ("XDG_RUNTIME_DIR", Heir::Tool),
            ("https_proxy", Heir::Tool),
            ("DOCKER_CONFIG", Heir::Tool),
            ("BANGER_HOME", Heir::Daemon),
            ("RUST_LOG", Heir::Daemon),
        ] {
            for heir in [Heir::Machine, Heir::Tool, Heir::Daemon] {
                assert_eq!(is_passed(OsStr::new(name), heir), heir >= least, "{name} to {heir:?}");
            }
        }
        for secret in
            ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "SECRET", "LD_PRELOAD", "PATHS", ""]
        {
            assert!(!is_passed(OsStr::new(secret), Heir::Daemon), "{secret}");
        }
    }

    #[test]
    fn every_program_has_a_path() {
        for heir in [Heir::Machine, Heir::Tool, Heir::Daemon] {
            let paths = environment(heir).into_iter().filter(|(name, _)| name == "PATH");
            let paths: Vec<_> = paths.map(|(_, value)| value).collect();
            assert_eq!(paths, [crate::host::search_path()], "{heir:?}");
        }
    }

    #[test]
    fn a_program_has_no_descriptor_of_ours() {
        let leak = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let path = format!("/proc/self/fd/{}", leak.as_raw_fd());
        let sees = |command: &mut Command| command.status().unwrap().success();
        let look = || {
            let mut command = Command::new("/usr/bin/test");
            command.args(["-e", &path]);
            command
        };
        assert!(sees(&mut look()), "it leaks without a limit");
        let mut limited = look();
        limit(&mut limited, Heir::Tool);
        assert!(!sees(&mut limited));
        let mut marked = look();
        // SAFETY: as in `limit`.
        #[expect(unsafe_code, reason = "the fallback is what is tested")]
        unsafe {
            marked.pre_exec(mark_each)
        };
        assert!(!sees(&mut marked));
    }
}
