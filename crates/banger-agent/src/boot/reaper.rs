//! The init for an image without one: it reaps orphans, and restarts the agent if that is killed, because the first process
//! itself cannot be killed. The agent does everything else that an init does.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{WaitOptions, wait};

use crate::{console, control, invocation, os::signal_from_init, respawn};

/// An agent that repeatedly ends this soon would do so for ever.
const SHORT: Duration = Duration::from_secs(2);
const SHORT_LIVES_MAX: u32 = 5;

/// Reaps until the agent cannot be kept alive. Nobody can reach the guest then, so the machine ends as well.
pub(super) fn reap_for_ever(agent: u32) -> ! {
    let mut agent = Some(agent);
    let mut short_lives = 0;
    while let Some(current) = agent {
        let begun = Instant::now();
        if let Err(error) = signal_from_init::forward_to(current) {
            console::error(&error);
        }
        reap_until_ended(current);
        short_lives = if begun.elapsed() < SHORT { short_lives + 1 } else { 0 };
        agent = if short_lives < SHORT_LIVES_MAX { start_again() } else { None };
    }
    console::warning("the agent ended: the guest restarts");
    control::finish();
    end()
}

fn reap_until_ended(agent: u32) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid.as_raw_nonzero().get().unsigned_abs() == agent => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn start_again() -> Option<u32> {
    let mut command = respawn::command(invocation::NO_INIT.as_ref());
    match command.arg(invocation::AGAIN).stdout(Stdio::null()).spawn() {
        Ok(child) => Some(child.id()),
        Err(error) => {
            console::error(&error);
            None
        }
    }
}

fn end() -> ! {
    std::process::exit(1)
}
