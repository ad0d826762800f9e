//! The fake VMM keeps the contract as far as a process without a guest can: here with a shell in the agent's place.

use banger_vmm::fake::FakeVmm;
use banger_vmm::{MachineEnd, StartError, Vmm, handle};

use crate::rig::{is_alive, rig};
use crate::tiny_guest::Then;

/// Listens on the channel socket like the agent's test mode, without answering.
const LISTENER: &str = "import socket, sys, signal\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.bind(sys.argv[1] + '/channel.sock')\n\
    s.listen()\n\
    signal.pause()";

#[tokio::test]
async fn its_machine_is_a_process_that_can_be_adopted_and_killed() {
    let rig = rig(Then::Halt);
    let vmm = FakeVmm::new("/usr/bin/env").with_arguments(&["python3", "-c", LISTENER]);
    drop(vmm.start(&rig.plan).await.unwrap());
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    assert!(is_alive(&found));
    let machine = vmm.adopt(&found).await.unwrap().unwrap();
    machine.kill().await.unwrap();
    assert_eq!(machine.ended().await, MachineEnd::Unknown);
    assert_eq!(rig.runtime_names(), [""; 0]);
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_told_with_its_words() {
    let rig = rig(Then::Halt);
    let vmm = FakeVmm::new("/bin/sh").with_arguments(&["-c", "echo no such port >&2; exit 3"]);
    match vmm.start(&rig.plan).await {
        Err(StartError::Refused { stderr, .. }) => assert_eq!(stderr.trim(), "no such port"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}
