//! A VMM without a guest, for the tests of others: its machine is the agent on the host, a real process that can be
//! killed, adopted and asked to run commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use banger_model::GuestNetwork;
use banger_sys::companions::Companions;
use banger_sys::launch::{Inherited, Launch, Started, launch};
use banger_sys::process::ProcessIdentity;
use tokio::net::UnixStream;

use crate::contract::{AdoptError, Machine, MachineHandle, MachinePlan, Network, StartError, Vmm, VmmKind};
use crate::handle;
use crate::machine::{NoControl, Presence, RestartNetwork, RunningMachine, create_log};

const PROGRAM: &str = "banger-agent";
/// Stands for a network: does nothing and does not end.
const WAITER: &str = "sleep";
const READY_DEADLINE: Duration = Duration::from_secs(10);
const READY_PAUSE: Duration = Duration::from_millis(5);

/// What stands for the network of a fake machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FakeNetwork {
    /// Nothing.
    #[default]
    None,
    /// A process that is not started again.
    Once,
    /// A process that is started again when it has ended.
    Restarts,
}

/// Runs `<program> serve --unix <runtime directory>` as the machine.
#[derive(Clone, Debug)]
pub struct FakeVmm {
    program: PathBuf,
    arguments: Vec<String>,
    network: FakeNetwork,
}

impl FakeVmm {
    /// Takes the path of the agent's program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec!["serve".into(), "--unix".into()],
            network: FakeNetwork::None,
        }
    }

    /// Gives machines a process that stands for their network.
    #[must_use]
    pub fn with_network(mut self, network: FakeNetwork) -> Self {
        self.network = network;
        self
    }

    fn restart(&self, handle: &MachineHandle) -> Option<Box<dyn RestartNetwork>> {
        match self.network {
            FakeNetwork::None | FakeNetwork::Once => None,
            FakeNetwork::Restarts => Some(Box::new(Restart { handle: handle.clone() })),
        }
    }

    /// Replaces what stands before the runtime directory on the command line.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }
}

fn start_network(directory: &Path) -> Result<Started, StartError> {
    let failed = |source| StartError::Spawn { program: WAITER, source };
    let errors = std::fs::File::open("/dev/null").map_err(failed)?;
    let process = launch(Launch {
        program: WAITER.into(),
        directory: directory.to_owned(),
        arguments: vec!["infinity".into()],
        input: None,
        output: None,
        errors,
        inherited: Inherited::default(),
    });
    process.map_err(failed)
}

struct Restart {
    handle: MachineHandle,
}

#[async_trait]
impl RestartNetwork for Restart {
    async fn restart(&self) -> Result<ProcessIdentity, StartError> {
        let directory = self.handle.console_log.parent().unwrap_or(Path::new("/"));
        let process = start_network(directory)?;
        let identity = process.identity;
        let handle = MachineHandle { companions: vec![identity.into()], ..self.handle.clone() };
        handle::store(directory, &handle).map_err(|error| StartError::Prepare {
            path: directory.to_owned(),
            source: std::io::Error::other(error),
        })?;
        process.release();
        Ok(identity)
    }
}

#[async_trait]
impl Vmm for FakeVmm {
    fn kind(&self) -> VmmKind {
        VmmKind::Qemu
    }

    fn guest_network(&self, _network: &Network) -> Option<GuestNetwork> {
        None
    }

    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError> {
        let console_log = plan.state_directory.join("console.log");
        let channel_socket = plan.runtime_directory.join("channel.sock");
        let prepare = |source| StartError::Prepare { path: channel_socket.clone(), source };
        banger_sys::files::remove_any(&channel_socket).map_err(prepare)?;
        let errors = create_log(&console_log)?;
        let output = errors.try_clone().map_err(prepare)?;
        let mut arguments: Vec<_> = self.arguments.iter().map(Into::into).collect();
        arguments.push(plan.runtime_directory.clone().into());
        let mut agent = launch(Launch {
            program: self.program.clone(),
            directory: plan.state_directory.clone(),
            arguments,
            input: None,
            output: Some(output.into()),
            errors,
            inherited: Inherited::default(),
        })
        .map_err(|source| StartError::Spawn { program: PROGRAM, source })?;
        let mut network = Companions::default();
        match self.network {
            FakeNetwork::None => {}
            FakeNetwork::Once | FakeNetwork::Restarts => {
                network.add(WAITER, start_network(&plan.state_directory)?);
            }
        }
        let handle = MachineHandle {
            format_version: handle::FORMAT_VERSION,
            vm: plan.vm.clone(),
            vmm: VmmKind::Qemu,
            process: agent.identity.into(),
            companions: network.processes().map(Into::into).collect(),
            control_socket: plan.runtime_directory.join("control.sock"),
            channel_socket: channel_socket.clone(),
            console_log: console_log.clone(),
            jail: None,
            pager: None,
        };
        handle::store(&plan.state_directory, &handle).map_err(|error| StartError::Prepare {
            path: console_log.clone(),
            source: std::io::Error::other(error),
        })?;
        // The agent tells nobody that it listens, so its socket is tried; only tests wait like this.
        let listening = async {
            while UnixStream::connect(&channel_socket).await.is_err() {
                tokio::time::sleep(READY_PAUSE).await;
            }
        };
        tokio::select! {
            listening = tokio::time::timeout(READY_DEADLINE, listening) => {
                listening.map_err(|_late| StartError::NotReady { program: PROGRAM, deadline: READY_DEADLINE })?;
            }
            _ended = agent.ended() => {
                let stderr = std::fs::read_to_string(&console_log).unwrap_or_default();
                return Err(StartError::Refused { program: PROGRAM, stderr });
            }
        }
        network.release();
        let control = Box::new(NoControl(VmmKind::Qemu));
        let sockets = vec![channel_socket];
        let restart = self.restart(&handle);
        let machine = RunningMachine::of_started(handle, agent, sockets, control, Presence::Told);
        Ok(Box::new(machine.with_network(restart)))
    }

    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError> {
        handle::check_format(handle)?;
        let control = Box::new(NoControl(VmmKind::Qemu));
        let sockets = vec![handle.channel_socket.clone()];
        let machine = RunningMachine::adopt(handle, sockets, control, Presence::Told).await?;
        let restart = self.restart(handle);
        Ok(machine.map(|machine| Box::new(machine.with_network(restart)) as Box<dyn Machine>))
    }
}
