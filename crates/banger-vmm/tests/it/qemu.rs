//! The QEMU driver against the contract. QEMU and passt are declared host packages: without them these tests fail.

use banger_vmm::qemu::Qemu;
use banger_vmm::selection::{HostFacts, WantedVmm, choose};
use banger_vmm::{Network, StartError, Vmm};

use crate::conformance;
use crate::rig::{LINE, rig, until_console_says};
use crate::tiny_guest::Then;

fn qemu() -> Qemu {
    let choice = choose(WantedVmm::Qemu, &HostFacts::look())
        .unwrap_or_else(|error| panic!("{error}; these tests need the packages qemu-system-x86 and passt"));
    Qemu::new(&choice)
}

#[tokio::test]
async fn the_console_is_kept_and_the_end_is_an_event() {
    conformance::console_then_end(&qemu(), &rig(Then::Reset)).await;
}

#[tokio::test]
async fn a_killed_machine_leaves_nothing() {
    conformance::kill(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_silent_guest_costs_the_deadline_and_no_more() {
    conformance::silent_guest(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_machine_outlives_its_owner_and_is_taken_over() {
    conformance::adoption(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_machine_that_ended_unseen_is_cleaned_up() {
    conformance::ended_unseen(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_strangers_process_is_not_taken_over() {
    conformance::stranger(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_cancelled_start_leaves_no_process() {
    conformance::cancelled_start(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn two_machines_run_side_by_side() {
    conformance::two_at_once(&qemu(), &rig(Then::Halt), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_machine_without_a_handle_is_found() {
    conformance::orphan(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn plans_that_cannot_be_carried_out_are_refused() {
    conformance::bad_plans(&qemu(), &rig(Then::Halt)).await;
}

#[tokio::test]
async fn a_file_that_is_no_kernel_is_refused_in_qemus_words() {
    let mut rig = rig(Then::Halt);
    rig.plan.kernel.vmlinux = rig.path("initramfs");
    match qemu().start(&rig.plan).await {
        Err(StartError::Refused { program: "qemu-system-x86_64", stderr }) => assert!(!stderr.is_empty()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn the_network_stack_lives_and_ends_with_its_machine() {
    let mut rig = rig(Then::Halt);
    rig.plan.network = Network::UserMode { mac: "52:54:00:12:34:56".into() };
    let qemu = qemu();
    assert_eq!(qemu.guest_network(&rig.plan.network).unwrap().dns_servers, ["10.0.2.3"]);
    let machine = qemu.start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    let passt = banger_sys::process::ProcessIdentity::from(machine.handle().companions[0]);
    assert!(passt.is_alive());
    machine.kill().await.unwrap();
    assert!(!passt.is_alive());
}
