//! Machines that another process has started: the test program starts itself again, and that process exits once its machine
//! runs. A program with a suite calls [`play`] first of all.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use banger_vmm::{MachineEnd, handle};

use crate::guest::{Does, Guest};
use crate::rig::{LINE, is_alive, until_console_says};
use crate::suite::{Driver, Subject};

/// The suite's name follows.
const ARGUMENT: &str = "start-elsewhere";

/// Starts a machine and leaves it, if the arguments request that. `find` returns a suite's driver and guest by name.
///
/// # Panics
/// If the machine does not start.
pub fn play(
    arguments: &[OsString],
    find: impl FnOnce(&str) -> Option<(Driver, Arc<dyn Guest>)>,
) -> Option<ExitCode> {
    let [argument, suite] = arguments else { return None };
    let (driver, guest) = (argument == ARGUMENT).then(|| find(suite.to_str()?)).flatten()?;
    let rig = guest.rig(Does::Halt);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(runtime.block_on(driver().start(&rig.plan)).unwrap());
    println!("{}", rig.plan.state_directory.display());
    // The machine's files stay as well, until the process that takes the machine over removes them.
    std::mem::forget(rig);
    Some(ExitCode::SUCCESS)
}

/// A machine whose starter has exited is taken over by a process that knows only its state directory.
pub(crate) async fn adoption(subject: Subject) {
    let program = std::env::current_exe().unwrap();
    let started =
        tokio::process::Command::new(program).args([ARGUMENT, &subject.suite]).output().await.unwrap();
    assert!(started.status.success(), "{started:?}");
    let state = Path::new(OsStr::from_bytes(started.stdout.trim_ascii()));
    let found = handle::load(state).unwrap().unwrap();
    assert!(is_alive(&found));
    let machine = subject.vmm.adopt(&found).await.unwrap().expect("it runs");
    until_console_says(&found.console_log, LINE).await;
    machine.kill().await.unwrap();
    assert_eq!(machine.ended().await, MachineEnd::Unknown);
    assert!(!is_alive(&found));
    let runtime = found.channel_socket.parent().unwrap();
    assert_eq!(std::fs::read_dir(runtime).unwrap().count(), 0);
    // The layout of a rig: `vms/<id>` in one directory that contains everything.
    let directory = state.ancestors().nth(2).unwrap();
    assert!(directory.starts_with(std::env::temp_dir()), "{}", directory.display());
    std::fs::remove_dir_all(directory).unwrap();
}
