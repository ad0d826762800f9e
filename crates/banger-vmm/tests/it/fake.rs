//! The fake VMM keeps the contract as far as a process without a guest can: here with a script in the agent's place.

use banger_conformance::{Does, Guest as _, TinyGuest, is_alive, trial};
use banger_vmm::fake::FakeVmm;
use banger_vmm::{MachineEnd, StartError, Vmm, handle};
use libtest_mimic::Trial;

/// Listens on the channel socket like the agent's test mode, without answering.
const LISTENER: &str = "import socket, sys, signal\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.bind(sys.argv[1] + '/channel.sock')\n\
    s.listen()\n\
    signal.pause()";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("fake::its_machine_is_a_process_that_can_be_adopted_and_killed", adopted_and_killed),
        trial("fake::a_program_that_ends_at_once_is_told_with_its_words", ends_at_once),
    ]
}

async fn adopted_and_killed() {
    let rig = TinyGuest { has_vsock: false }.rig(Does::Halt);
    let vmm = FakeVmm::new("/usr/bin/env").with_arguments(&["python3", "-c", LISTENER]);
    drop(vmm.start(&rig.plan).await.unwrap());
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    assert!(is_alive(&found));
    let machine = vmm.adopt(&found).await.unwrap().unwrap();
    machine.kill().await.unwrap();
    assert_eq!(machine.ended().await, MachineEnd::Unknown);
    assert_eq!(rig.runtime_names(), [""; 0]);
}

async fn ends_at_once() {
    let rig = TinyGuest { has_vsock: false }.rig(Does::Halt);
    let vmm = FakeVmm::new("/bin/sh").with_arguments(&["-c", "echo no such port >&2; exit 3"]);
    match vmm.start(&rig.plan).await {
        Err(StartError::Refused { stderr, .. }) => assert_eq!(stderr.trim(), "no such port"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}
