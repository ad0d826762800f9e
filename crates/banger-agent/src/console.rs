//! Messages of the agent while nobody is connected: single lines on the kernel's log and console.

use std::{
    error::Error,
    fmt::Write as _,
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

static IS_GUEST: AtomicBool = AtomicBool::new(false);

/// Sends lines to the kernel's log instead of standard error from now on.
pub(crate) fn use_kernel_log() {
    IS_GUEST.store(true, Ordering::Relaxed);
}

/// Writes an error so that it is visible even with `quiet` on the kernel command line.
pub(crate) fn error(error: &dyn Error) {
    line(3, &chain(error));
}

/// Writes a warning.
pub(crate) fn warning(text: &str) {
    line(4, text);
}

/// Writes a line about the agent's lifecycle.
pub(crate) fn info(text: &str) {
    line(6, text);
}

/// Formats the error and its causes as one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn line(level: u8, text: &str) {
    if IS_GUEST.load(Ordering::Relaxed) && kernel_log(level, text).is_ok() {
        return;
    }
    let _ = writeln!(std::io::stderr(), "banger-agent: {text}");
}

fn kernel_log(level: u8, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(format!("<{level}>banger-agent: {text}\n").as_bytes()))
}
