//! Ctrl-C: running scenarios are killed, their homes are cleared as after any failure, and no further one starts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The process groups of the running scenarios.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_interrupted: AtomicBool,
    running: Mutex<HashSet<Pid>>,
}

impl Groups {
    /// Listens for Ctrl-C from now on. The second one kills the harness itself at once.
    pub(super) fn listen(&self) {
        let mut signals = Signals::new([SIGINT, SIGTERM]).expect("signals can be listened to");
        let groups = self.clone();
        std::thread::spawn(move || {
            for signal in &mut signals {
                if groups.is_interrupted() {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                groups.interrupt();
            }
        });
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.0.is_interrupted.load(Ordering::SeqCst)
    }

    fn interrupt(&self) {
        self.0.is_interrupted.store(true, Ordering::SeqCst);
        for group in self.0.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            end(*group);
        }
    }

    /// Adds a group; one that starts after the interrupt is killed at once.
    pub(super) fn add(&self, group: Pid) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).insert(group);
        if self.is_interrupted() {
            end(group);
        }
    }

    pub(super) fn remove(&self, group: Pid) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
    }
}

fn end(group: Pid) {
    // It may have ended by itself meanwhile.
    let _ = kill_process_group(group, Signal::KILL);
}
