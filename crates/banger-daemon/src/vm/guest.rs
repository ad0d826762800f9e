//! The first words with a guest: who is there, and who it shall be.

use std::sync::Arc;
use std::time::Duration;

use banger_agent_proto::{
    CONTROL_PORT, EnvironmentVariable, IdentifyRequest, NetworkConfig, ProcessDefaults, Readiness,
};
use banger_guest::{AgentClient, AgentError};
use banger_image::ImageProcess;
use banger_model::{Announced, GuestNetwork};
use banger_store::VmRow;
use banger_sys::failpoint;
use banger_sys::id::random_bytes;
use banger_vmm::{ConnectError, LastWords, Machine};
use tracing::warn;

use super::ending::Ending;
use super::{GuestError, GuestFailure, VmError, console, guest_words, pause};
use crate::clock::unix_nanos;
use crate::config::GuestSection;
use crate::host_trust::HostTrust;

/// How long a guest that has said hello may take for anything else.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Limitations that a guest may tell.
const WARNINGS_MAX: usize = 32;
/// How long after a broken channel the end of its machine may be seen.
const END_WAIT: Duration = Duration::from_secs(1);

/// Speaks to the guest of a machine that is known to be up.
pub(super) async fn connect(
    machine: &Arc<dyn Machine>,
    row: &VmRow,
    deadline: Duration,
) -> Result<AgentClient, VmError> {
    failpoint::pass("connect to guest");
    let stream = machine
        .connect(CONTROL_PORT, deadline)
        .await
        .map_err(|source| GuestError::new(row.name.clone(), GuestFailure::Unreachable(source)))?;
    AgentClient::connect(stream).await.map_err(|source| failed(machine, row, source))
}

/// Waits until a new guest's agent answers.
pub(super) async fn wait_for_hello(
    machine: &Arc<dyn Machine>,
    row: &VmRow,
    deadline: Duration,
) -> Result<(AgentClient, String), VmError> {
    let silent = || not_ready(machine, row, GuestFailure::Silent { deadline });
    let greeting = async {
        let client = connect(machine, row, deadline).await?;
        let hello = client
            .hello(env!("CARGO_PKG_VERSION"), deadline)
            .await
            .map_err(|source| failed(machine, row, source))?;
        Ok((client, guest_words::name(hello.boot_id)))
    };
    match tokio::time::timeout(deadline, greeting).await {
        Err(_elapsed) => Err(silent()),
        Ok(Err(VmError::Guest(GuestError {
            why: GuestFailure::Unreachable(ConnectError::Silent { .. }),
            ..
        }))) => Err(silent()),
        Ok(greeted) => greeted,
    }
}

/// Does `talk` while the machine lives and its guest may go on. Whatever breaks because the machine ended is told as its
/// end; a guest that stands still would be waited for in vain.
pub(super) async fn unless_ended<T>(
    machine: &Arc<dyn Machine>,
    row: &VmRow,
    talk: impl Future<Output = Result<T, VmError>>,
) -> Result<T, VmError> {
    let ended = |end| {
        let ending = Ending::of(machine.handle(), end, None, Announced::Unheard);
        not_ready(machine, row, GuestFailure::Ended(ending))
    };
    let told = tokio::select! {
        biased;
        told = talk => told,
        end = machine.ended() => return Err(ended(end)),
        reason = pause::stands_still(machine) => {
            return Err(GuestError::new(row.name.clone(), GuestFailure::Paused(reason)).into());
        }
    };
    let Err(error) = told else { return told };
    let may_be_its_end = match &error {
        VmError::Guest(GuestError { why: GuestFailure::Unreachable(_), .. }) => true,
        VmError::Guest(GuestError { why: GuestFailure::Failed(source), .. }) => {
            matches!(source, AgentError::Broken { .. } | AgentError::Handshake { .. })
        }
        _ => false,
    };
    if !may_be_its_end {
        return Err(error);
    }
    // The channel breaks a moment before the end of the process is seen.
    match tokio::time::timeout(END_WAIT, machine.ended()).await {
        Ok(end) => Err(ended(end)),
        Err(_lives) => Err(error),
    }
}

/// Makes the guest this VM: the readiness boundary `agent`.
#[expect(clippy::too_many_arguments, reason = "what makes a guest this VM comes from as many places")]
pub(super) async fn identify(
    machine: &Arc<dyn Machine>,
    client: &AgentClient,
    row: &VmRow,
    network: Option<GuestNetwork>,
    authorized_key: &str,
    init_delay: Duration,
    wish: GuestSection,
    process: Option<&ImageProcess>,
) -> Result<(), VmError> {
    let trust = host_trust(wish, row).await;
    let request = IdentifyRequest {
        hostname: row.name.to_string(),
        machine_id: row.guest.machine_id.clone(),
        ssh_host_key: row.guest.ssh_host_key.clone().into_bytes().into(),
        ssh_host_key_public: row.guest.ssh_host_key_public.clone(),
        authorized_keys: vec![authorized_key.to_owned()],
        network: network.map(|network| NetworkConfig {
            mac: network.mac,
            address: network.address,
            gateway: network.gateway,
            dns_servers: network.dns_servers,
            search_domains: Vec::new(),
            // 0: as the device says.
            mtu: network.mtu.unwrap_or_default(),
        }),
        clock_unix_nanos: unix_nanos(),
        random_seed: random_bytes::<64>().to_vec().into(),
        init_delay_millis: u32::try_from(init_delay.as_millis()).unwrap_or(u32::MAX),
        process: process.map(process_defaults),
        certificate_authorities: trust.authorities,
        session_environment: trust.proxies.into_iter().map(variable).collect(),
    };
    let reply =
        client.identify(request, ANSWER_DEADLINE).await.map_err(|source| failed(machine, row, source))?;
    failpoint::pass("guest identified");
    for warning in reply.warnings.into_iter().take(WARNINGS_MAX).map(guest_words::name) {
        warn!(vm = %row.name, warning, "guest works with a limitation");
    }
    Ok(())
}

/// Read anew for each guest: the user may have changed it.
async fn host_trust(wish: GuestSection, row: &VmRow) -> HostTrust {
    let trust = tokio::task::spawn_blocking(move || HostTrust::of_this_host(wish)).await.unwrap_or_default();
    for left_out in &trust.left_out {
        warn!(vm = %row.name, left_out, "something of the host's trust does not reach the guest");
    }
    trust
}

fn variable((name, value): (String, String)) -> EnvironmentVariable {
    EnvironmentVariable { name: name.into(), value: value.into() }
}

fn process_defaults(process: &ImageProcess) -> ProcessDefaults {
    let bytes = |text: &String| text.clone().into_bytes().into();
    let variable = |text: &String| {
        let (name, value) = text.split_once('=')?;
        Some(EnvironmentVariable { name: name.to_owned().into(), value: value.to_owned().into() })
    };
    ProcessDefaults {
        command: process.command.iter().map(bytes).collect(),
        environment: process.environment.iter().filter_map(variable).collect(),
        user: process.user.clone(),
        working_directory: bytes(&process.working_directory),
    }
}

/// Waits for the readiness boundary `system`.
pub(super) async fn wait_for_system(
    machine: &Arc<dyn Machine>,
    client: &AgentClient,
    row: &VmRow,
    deadline: Duration,
) -> Result<(), VmError> {
    client
        .wait_ready(Readiness::System, deadline)
        .await
        .map(drop)
        .map_err(|source| failed(machine, row, source))
}

pub(super) fn failed(machine: &Arc<dyn Machine>, row: &VmRow, source: AgentError) -> VmError {
    not_ready(machine, row, GuestFailure::Failed(source))
}

fn not_ready(machine: &Arc<dyn Machine>, row: &VmRow, why: GuestFailure) -> VmError {
    VmError::Guest(GuestError { name: row.name.clone(), console: last_lines(machine), why })
}

/// The end of the console, and what the VMM said: either may tell why a guest does not get ready.
fn last_lines(machine: &Arc<dyn Machine>) -> Vec<String> {
    let handle = machine.handle();
    let mut lines = console::last_lines(&handle.console_log);
    lines.extend(LastWords::of(handle).vmm.into_iter().map(|line| format!("{}: {line}", handle.vmm)));
    lines
}
