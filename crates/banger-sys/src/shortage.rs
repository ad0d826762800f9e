//! Shortages of file descriptors or memory in this process or on its host. A caller that got no answer can find out whether
//! the reason was that this process could not ask.
//!
//! Source: `accept(2)`, `open(2)`, `socket(2)`.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Returns the number of shortages so far.
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Counts a shortage if an error or one of its causes is one; tells whether it is.
pub fn note_if(error: &(dyn Error + 'static)) -> bool {
    let is_shortage = is_shortage(error);
    if is_shortage {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    is_shortage
}

/// Tells whether an error or one of its causes is a shortage of this process or its host.
#[must_use]
pub fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
            if error
                .raw_os_error()
                .is_some_and(|code| shortages.iter().any(|errno| errno.raw_os_error() == code))
            {
                return true;
            }
            // An error of another kind inside an `io::Error` is not among its sources.
            if let Some(inner) = error.get_ref() {
                cause = Some(inner);
                continue;
            }
        }
        cause = error.source();
    }
    false
}

/// Raises this process's soft limit of open files to the hard limit. Returns the limit; `None` if there is none.
#[must_use]
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // If this fails, the old limit works as well.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_shortage_is_found_wherever_it_is() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            let plain = || io::Error::from(errno);
            assert!(is_shortage(&plain()));
            assert!(is_shortage(&Outer(plain())));
            assert!(is_shortage(&io::Error::other(Outer(plain()))));
            assert!(is_shortage(&io::Error::other(Outer(io::Error::other(plain())))));
        }
        for error in
            [io::Error::from(Errno::CONNREFUSED), io::ErrorKind::TimedOut.into(), io::Error::other("x")]
        {
            assert!(!is_shortage(&Outer(error)));
        }
    }
}
