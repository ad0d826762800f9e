//! Starts a machine. Every process is killed on the way out until the machine stands: see [`Started`].

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use banger_model::NetworkAttachment;
use banger_sys::companions::Companions;
use banger_sys::host;
use banger_sys::launch::{Inherited, Launch, Started, launch};
use banger_sys::socket::{listen, listen_async, open_directory};
use rustix::fs::MemfdFlags;
use tokio::net::UnixListener;

use super::arguments::{Given, Processor, arguments, check_kernel, kernel_command_line};
use super::control::QmpControl;
use super::driver::Qemu;
use super::network;
use super::places::Places;
use super::qmp::{Qmp, QmpError};
use crate::channel::{self, Past};
use crate::contract::{MachineHandle, MachinePlan, NETWORK, Network, StartError, VmmKind};
use crate::machine::{Presence, RunningMachine, create_log, last_words};
use crate::selection::QEMU_PROGRAM;
use crate::{handle, plan_check};

/// QEMU answers after a tenth of a second; a machine that starts many at once takes its time.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// How long QEMU may take to end once its control socket broke.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// A machine that may not stand yet.
struct Attempt {
    qemu: Started,
    network: Companions,
    /// Where the network waits for its machine.
    network_socket: Option<UnixStream>,
    handle: MachineHandle,
    places: Places,
    callers: UnixListener,
}

pub(super) async fn start(driver: &Qemu, plan: &MachinePlan) -> Result<RunningMachine, StartError> {
    let processor = Processor { accelerator: driver.accelerator, khz: host::processor_khz() };
    let places = Places::of_plan(plan);
    let append = kernel_command_line(plan, processor);
    check_kernel(&plan.kernel)?;
    plan_check::check(plan, &append, 0)?;
    let mut attempt = spawn(driver, plan, processor, &append, places)?;
    let handle = attempt.handle.clone();
    // Both the write and QEMU's start take their time: the two run side by side.
    let (written, ready) =
        tokio::join!(handle::write(&plan.state_directory, &handle), wait_until_ready(&mut attempt));
    written?;
    ready?;
    if let Some(network_socket) = &attempt.network_socket {
        network::join(network_socket, &attempt.places)?;
    }
    Ok(stand(driver, attempt))
}

fn spawn(
    driver: &Qemu,
    plan: &MachinePlan,
    processor: Processor,
    append: &str,
    places: Places,
) -> Result<Attempt, StartError> {
    create_log(&places.console_log)?;
    let errors = create_log(&places.error_log)?;
    let network_errors = create_log(&places.network_log)?;
    let callers = listen_async(&places.channel).map_err(StartError::preparing(&places.channel))?;
    let mut inherited = Inherited::default();
    let control = listen(&places.control).map_err(StartError::preparing(&places.control))?;
    let pipe = listen(&places.pipe).map_err(StartError::preparing(&places.pipe))?;
    let sockets =
        open_directory(&plan.runtime_directory).map_err(StartError::preparing(&plan.runtime_directory))?;
    let memory = guest_memory(plan).map_err(StartError::preparing(Path::new("/proc/self/fd")))?;
    let mut network = Companions::default();
    let network_socket = match &plan.network {
        Network::None => None,
        Network::UserMode { .. } => {
            let launched =
                driver.network.launch(NetworkAttachment::Stream, &plan.state_directory, &network_errors)?;
            network.add(NETWORK, launched.process);
            Some(launched.socket)
        }
    };
    let given = Given {
        control: inherited.add(control),
        pipe: inherited.add(pipe),
        memory: inherited.add(memory),
        sockets: inherited.add(sockets),
        mtu: driver.network.mtu(),
    };
    let qemu = launch(Launch {
        program: driver.program.clone(),
        directory: plan.state_directory.clone(),
        arguments: arguments(plan, &places, processor, append, given),
        input: None,
        output: None,
        errors,
        inherited,
    })
    .map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            StartError::Missing { program: QEMU_PROGRAM, package: "qemu-system-x86" }
        }
        _ => StartError::Spawn { program: QEMU_PROGRAM, source },
    })?;
    let handle = MachineHandle {
        format_version: handle::FORMAT_VERSION,
        vm: plan.vm.clone(),
        vmm: VmmKind::Qemu,
        process: qemu.identity.into(),
        companions: network.processes().map(Into::into).collect(),
        control_socket: places.control.clone(),
        channel_socket: places.channel.clone(),
        console_log: places.console_log.clone(),
        jail: None,
        pager: None,
    };
    Ok(Attempt { qemu, network, network_socket, handle, places, callers })
}

/// Makes the guest's memory: it takes room only where the guest has written.
fn guest_memory(plan: &MachinePlan) -> std::io::Result<File> {
    let memory = File::from(rustix::fs::memfd_create("banger-memory", MemfdFlags::CLOEXEC)?);
    memory.set_len(plan.memory.get() * 1024 * 1024)?;
    Ok(memory)
}

async fn wait_until_ready(attempt: &mut Attempt) -> Result<(), StartError> {
    let control = async {
        let mut qmp = Qmp::connect(&attempt.places.control, READY_DEADLINE).await?;
        qmp.status().await
    };
    let control = tokio::select! {
        control = control => control,
        ended = attempt.qemu.ended() => return judge_end(ended, &attempt.places),
    };
    match control {
        Ok(_status) => {}
        Err(QmpError::Silent { deadline, .. }) => {
            return Err(StartError::NotReady { program: QEMU_PROGRAM, deadline });
        }
        // The socket broke: QEMU ends, now or in a moment.
        Err(error) => {
            return match tokio::time::timeout(END_DEADLINE, attempt.qemu.ended()).await {
                Ok(ended) => judge_end(ended, &attempt.places),
                Err(_late) => {
                    Err(StartError::Spawn { program: QEMU_PROGRAM, source: std::io::Error::other(error) })
                }
            };
        }
    }
    // The network reads its options long before QEMU answers: had it refused them, it would be gone.
    match attempt.network.missing() {
        Some(program) => Err(refused(program, &attempt.places.network_log)),
        None => Ok(()),
    }
}

/// QEMU refuses with a bad status. A good one is the guest's doing: it ran, and ended its machine before QEMU answered.
fn judge_end(ended: std::io::Result<ExitStatus>, places: &Places) -> Result<(), StartError> {
    if ended.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(refused(QEMU_PROGRAM, &places.error_log))
    }
}

fn refused(program: &'static str, log: &Path) -> StartError {
    StartError::Refused { program, stderr: last_words(log) }
}

fn stand(driver: &Qemu, attempt: Attempt) -> RunningMachine {
    let Attempt { qemu, network, handle, places, callers, network_socket: _ } = attempt;
    network.release();
    let sockets = places.sockets();
    let control = Box::new(QmpControl::new(&handle));
    let restart = network::restart(driver, &handle, &places);
    let machine = RunningMachine::of_started(handle, qemu, sockets, control, Presence::Told);
    let channel = channel::serve(callers, places.pipe, Past::Fresh, machine.end_token());
    machine.with_network(restart).with_task(channel)
}
