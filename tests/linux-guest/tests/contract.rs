//! The VMM contract with a real Linux guest: under QEMU, with translation if necessary, and under Firecracker if the
//! processor has hardware virtualisation. `BANGER_FIRECRACKER` names a Firecracker that is not on `PATH`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use banger_conformance::{Guest, helper, network, play, skipped, suite};
use banger_linux_guest::{LinuxGuest, why_no_hardware};
use banger_model::WantedVmm;
use banger_sys::host;
use banger_vmm::firecracker::{Firecracker, JailFacts, JailWish, Tuning};
use banger_vmm::qemu::Qemu;
use banger_vmm::selection::{Accelerator, Choice, FirecrackerPlace, HostFacts, choose};
use banger_vmm::{Vmm, VmmKind};
use libtest_mimic::Trial;

fn main() -> ExitCode {
    // Like the daemon, this program also plays the processes beside its machines.
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = play(&words) {
        return code;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let guest: Arc<dyn Guest> = Arc::new(LinuxGuest::default());
    let mut trials = suite("qemu-linux", qemu, &guest);
    trials.extend(firecracker_trials(&guest));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn qemu() -> Arc<dyn Vmm> {
    let choice = choose(WantedVmm::Qemu, &HostFacts::look(&FirecrackerPlace::Installed(PathBuf::new())))
        .unwrap_or_else(|error| panic!("{error}; these tests need the package qemu-system-x86"));
    Arc::new(Qemu::new(&choice, network()))
}

fn firecracker_trials(guest: &Arc<dyn Guest>) -> Vec<Trial> {
    let program = match (why_no_hardware(), program()) {
        (Some(why), _) => return vec![skipped("firecracker-linux", why)],
        (None, None) => {
            let why = "no `firecracker` on PATH and none in BANGER_FIRECRACKER";
            return vec![skipped("firecracker-linux", why)];
        }
        (None, Some(program)) => program,
    };
    let mut trials = suite("firecracker-linux", || firecracker(JailWish::Never), guest);
    match JailFacts::look(&program).judge() {
        Ok(_jailer) => {
            trials.extend(suite("firecracker-jailed-linux", || firecracker(JailWish::Always), guest));
        }
        Err(why) => trials.push(skipped("firecracker-jailed-linux", &why)),
    }
    trials
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("BANGER_FIRECRACKER").map(PathBuf::from);
    named.or_else(|| host::find_program("firecracker"))
}

fn firecracker(jailer: JailWish) -> Arc<dyn Vmm> {
    let choice = Choice {
        vmm: VmmKind::Firecracker,
        program: program().expect("looked for before"),
        accelerator: Accelerator::Kvm,
        reason: String::new(),
        warnings: Vec::new(),
    };
    // The suite reads the console.
    let tuning = Tuning { serial_console: true, jailer, ..Tuning::default() };
    Arc::new(Firecracker::new(&choice, helper(), network()).with_tuning(tuning))
}
