//! The first process: from the initramfs to the image's init.
//!
//! ```text
//! kernel file systems ─▶ modules ─▶ drives ─▶ root ─▶ switch ─▶ agent starts ─▶ identified ─▶ image's init
//! ```
//! Every failure before the switch prints one line on the console and ends the machine: a VMM that exits tells the host more
//! than a guest that hangs.

mod cmdline;
mod drives;
mod ext4;
mod handover;
mod kernel_mounts;
mod modules;
mod program;
mod reaper;
mod root;
mod run_content;
mod temporary;

use std::{convert::Infallible, path::Path, process::ExitCode, time::Duration};

use crate::{console, control};

/// The reason why the guest cannot boot.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error(transparent)]
    Mount(#[from] kernel_mounts::MountError),
    #[error(transparent)]
    Drives(#[from] drives::DrivesError),
    #[error(transparent)]
    Root(#[from] root::RootError),
    #[error(transparent)]
    Handover(#[from] handover::HandoverError),
}

/// Boots the guest. Returns only if the machine cannot be ended.
#[must_use]
pub fn run() -> ExitCode {
    console::use_kernel_log();
    match boot() {
        Ok(never) => match never {},
        Err(error) => {
            console::error(&error);
            control::finish();
            ExitCode::FAILURE
        }
    }
}

fn boot() -> Result<Infallible, BootError> {
    kernel_mounts::mount()?;
    if let Err(error) = kernel_mounts::forbid_sleep() {
        crate::console::error(&error);
    }
    let line = cmdline::CommandLine::read();
    let start = uptime();
    modules::load();
    let modules_loaded = uptime();
    let drives = drives::wait(&line.drives)?;
    let drives_found = uptime();
    let engines = root::assemble(&drives)?;
    let program = program::keep();
    root::switch()?;
    root::mount_inside(&drives, engines)?;
    kernel_mounts::prepare_devices();
    kernel_mounts::share();
    program::put_in_reach(program);
    crate::stream_port::prepare(Path::new("/"));
    console::info(&format!(
        "root assembled {} ms after the first process started: modules {}, drives {}, root {}",
        millis_since(start),
        modules_loaded.saturating_sub(start).as_millis(),
        drives_found.saturating_sub(modules_loaded).as_millis(),
        millis_since(drives_found),
    ));
    Ok(handover::hand_over(line.init.as_deref())?)
}

fn millis_since(then: Duration) -> u128 {
    uptime().saturating_sub(then).as_millis()
}

/// Time since the start of the kernel.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}
