//! The Firecracker driver against the contract, and against the traps of Firecracker's API. The program is the real one:
//! what `BANGER_FIRECRACKER` names, or what is on `PATH`. Its guest is the tiny one, which runs even where `/dev/kvm` is
//! made of software. A stand-in that speaks the API stands in for failures only.

mod apart;
mod jailed;
mod network;
mod snapshots;
mod stand_in;
pub(crate) mod stand_in_jailer;
mod traps;

use std::path::PathBuf;
use std::sync::Arc;

use banger_conformance::{Driver, Guest, TinyGuest, helper, network, skipped, suite};
use banger_sys::host;
use banger_vmm::firecracker::{Firecracker, JailWish, Tuning};
use banger_vmm::selection::{Accelerator, Choice};
use banger_vmm::{Vmm, VmmKind};
use libtest_mimic::Trial;

const SUITE: &str = "firecracker";

/// A suite's driver and guest.
pub(crate) fn of_suite(name: &str) -> Option<(Driver, Arc<dyn Guest>)> {
    let guest: Arc<dyn Guest> = Arc::new(GUEST);
    match name {
        SUITE => Some((firecracker, guest)),
        jailed::SUITE => Some((jailed::driver, guest)),
        _ => None,
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = stand_in::trials();
    trials.extend(stand_in_jailer::trials());
    match program() {
        Ok(_) => {
            let guest: Arc<dyn Guest> = Arc::new(GUEST);
            trials.extend(suite(SUITE, firecracker, &guest));
            trials.extend(traps::trials());
            trials.extend(snapshots::trials());
            trials.extend(apart::trials());
            trials.extend(jailed::trials());
            trials.extend(network::trials());
        }
        Err(why) => trials.push(skipped("firecracker", why)),
    }
    trials
}

/// Firecracker's guest.
const GUEST: TinyGuest = TinyGuest { has_vsock: true };

/// Returns the program, or why there is none that could run a guest.
fn program() -> Result<PathBuf, &'static str> {
    let program = std::env::var_os("BANGER_FIRECRACKER")
        .map(PathBuf::from)
        .or_else(|| host::find_program("firecracker"))
        .ok_or("no `firecracker` on PATH and none in BANGER_FIRECRACKER")?;
    match host::virtualization() {
        host::Virtualization::Absent => Err("there is no /dev/kvm"),
        host::Virtualization::Forbidden => Err("this user may not open /dev/kvm"),
        host::Virtualization::Usable | host::Virtualization::SoftwareOnly => Ok(program),
    }
}

/// The driver of the real program.
fn driver() -> Firecracker {
    driver_of(program().expect("looked for before"))
}

fn driver_of(program: PathBuf) -> Firecracker {
    let (reason, warnings) = (String::new(), Vec::new());
    let choice =
        Choice { vmm: VmmKind::Firecracker, program, accelerator: Accelerator::Kvm, reason, warnings };
    Firecracker::new(&choice, helper(), network()).with_tuning(IN_CELL)
}

/// The cell alone, whoever runs the tests.
const IN_CELL: Tuning =
    Tuning { serial_console: false, io_uring: false, huge_pages: false, jailer: JailWish::Never };

fn firecracker() -> Arc<dyn Vmm> {
    Arc::new(driver())
}
