//! A VMM without a guest, for the tests of others: its machine is the agent on the host, a real process that can be
//! killed, adopted and asked to run commands.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;

use crate::contract::{
    AdoptError, GuestNetwork, Machine, MachineHandle, MachinePlan, Network, StartError, Vmm, VmmKind,
};
use crate::handle;
use crate::launch::{Inherited, Launch, launch};
use crate::machine::{NoControl, Presence, RunningMachine, create_log};

const PROGRAM: &str = "banger-agent";
const READY_DEADLINE: Duration = Duration::from_secs(10);
const READY_PAUSE: Duration = Duration::from_millis(5);

/// Runs `<program> serve --unix <runtime directory>` as the machine.
#[derive(Clone, Debug)]
pub struct FakeVmm {
    program: PathBuf,
    arguments: Vec<String>,
}

impl FakeVmm {
    /// Takes the path of the agent's program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: vec!["serve".into(), "--unix".into()] }
    }

    /// Replaces what stands before the runtime directory on the command line.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
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
        let handle = MachineHandle {
            format_version: handle::FORMAT_VERSION,
            vm: plan.vm.clone(),
            vmm: VmmKind::Qemu,
            process: agent.identity.into(),
            companions: Vec::new(),
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
        let control = Box::new(NoControl(VmmKind::Qemu));
        let sockets = vec![channel_socket];
        Ok(Box::new(RunningMachine::of_started(handle, agent, sockets, control, Presence::Told)))
    }

    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError> {
        handle::check_format(handle)?;
        let control = Box::new(NoControl(VmmKind::Qemu));
        let sockets = vec![handle.channel_socket.clone()];
        let machine = RunningMachine::adopt(handle, sockets, control, Presence::Told).await?;
        Ok(machine.map(|machine| Box::new(machine) as Box<dyn Machine>))
    }
}
