//! The init of an image that has none: collects orphans. Whatever else an init does, the agent does.

use rustix::process::{WaitOptions, wait};

use crate::{console, control};

/// Reaps until the agent ends; then nobody can reach the guest, and the machine ends too.
pub(super) fn reap_for_ever(agent: u32) -> ! {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid.as_raw_nonzero().get().unsigned_abs() == agent => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    console::warning("the agent ended: the guest restarts");
    control::finish();
    end()
}

fn end() -> ! {
    std::process::exit(1)
}
