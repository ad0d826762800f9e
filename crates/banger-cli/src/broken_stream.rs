//! A stream to a guest that broke: its user is told what became of the guest or the daemon, and of what the stream was
//! for. Which part of a connection noticed first, and how, says nothing to anybody.

use banger_api::{EndingQuery, EndingView, ErrorCode, PendingWork, VmView, route};
use banger_client::{Client, ClientError};
use banger_model::VmState;

use crate::error::{CliError, Kind};

/// The purpose of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Command,
    Copy,
    Log,
}

/// Why a stream to a guest gives nothing more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenStream {
    /// The daemon knows how the guest ended.
    #[error("{}: {}", with_guest(*purpose, vm), ending.why)]
    GuestEnded { vm: String, purpose: Purpose, ending: EndingView, is_gone: bool },
    #[error("the VM `{vm}` stopped{}", meanwhile(*purpose))]
    VmStopped { vm: String, purpose: Purpose },
    /// A stream through the daemon ended with it.
    #[error("the daemon stopped, and the connection to VM `{vm}` was lost{}", consequence(*purpose))]
    DaemonGone { vm: String, purpose: Purpose },
    /// The machine goes on.
    #[error("the connection to VM `{vm}` was lost because its agent or the daemon restarted{}", consequence(*purpose))]
    AgentGone { vm: String, purpose: Purpose },
}

fn with_guest(purpose: Purpose, vm: &str) -> String {
    match purpose {
        Purpose::Command => format!("the command in VM `{vm}` ended with its guest"),
        Purpose::Copy => format!("the copy is incomplete because the guest of VM `{vm}` ended"),
        Purpose::Log => format!("the guest of VM `{vm}` ended"),
    }
}

fn meanwhile(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Command => " while its command ran",
        Purpose::Copy => ", and the copy is incomplete",
        Purpose::Log => "",
    }
}

fn consequence(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Command => "; the command was ended",
        Purpose::Copy => "; the copy is incomplete",
        Purpose::Log => "",
    }
}

impl From<BrokenStream> for CliError {
    fn from(error: BrokenStream) -> Self {
        let hint = match &error {
            BrokenStream::GuestEnded { is_gone: true, .. } => return Self::failed(error),
            BrokenStream::GuestEnded { vm, ending, .. } if ending.starts_again => {
                format!("the guest starts again; enter it with `banger vm exec {vm}`")
            }
            BrokenStream::GuestEnded { vm, .. } => format!("banger vm show {vm}"),
            BrokenStream::VmStopped { vm, .. } => format!("banger vm logs {vm}"),
            BrokenStream::DaemonGone { vm, purpose } | BrokenStream::AgentGone { vm, purpose } => {
                match purpose {
                    Purpose::Command => {
                        format!("the VM is still running; enter it again with `banger vm exec {vm}`")
                    }
                    Purpose::Copy => "the VM is still running; run the copy again".to_owned(),
                    Purpose::Log => format!("the VM is still running; see `banger vm show {vm}`"),
                }
            }
        };
        Self::failed(error).with_hint(hint)
    }
}

/// Tells an error of a stream as what became of its guest or of the daemon; any other stays as it is.
pub(crate) async fn explain(client: &Client, vm: &VmView, purpose: Purpose, error: CliError) -> CliError {
    if !is_of_stream(&error) {
        return error;
    }
    // A log is of a guest that may have ended long ago.
    let needs_guest = purpose != Purpose::Log;
    if needs_guest && let Some(ended) = guest_ended(client, vm, purpose).await {
        return ended.into();
    }
    let name = vm.name.to_string();
    match client.get::<VmView>(route::SHOW_VM.of(&vm.id)).await {
        Ok(now) => match now.state {
            VmState::Stopped | VmState::Stopping | VmState::Failed if needs_guest => {
                BrokenStream::VmStopped { vm: name, purpose }.into()
            }
            VmState::Running if now.boot_id == vm.boot_id && is_lost(&error) => {
                BrokenStream::AgentGone { vm: name, purpose }.into()
            }
            VmState::Created
            | VmState::Starting
            | VmState::Running
            | VmState::Stopped
            | VmState::Stopping
            | VmState::Failed => error,
        },
        Err(ClientError::NotReachable { .. } | ClientError::Broken { .. }) if is_lost(&error) => {
            BrokenStream::DaemonGone { vm: name, purpose }.into()
        }
        Err(_) => error,
    }
}

/// Returns how the guest of one of these VMs ended, if one did: an error between two does not say whose it is.
pub(crate) async fn explain_any<'a>(
    client: &Client,
    vms: impl IntoIterator<Item = &'a VmView>,
    purpose: Purpose,
    error: CliError,
) -> CliError {
    if is_of_stream(&error) {
        for vm in vms {
            if let Some(ended) = guest_ended(client, vm, purpose).await {
                return ended.into();
            }
        }
    }
    error
}

fn is_of_stream(error: &CliError) -> bool {
    error.is_of_agent() || is_lost(error)
}

fn is_lost(error: &CliError) -> bool {
    matches!(error.kind(), Kind::Lost)
}

async fn guest_ended(client: &Client, vm: &VmView, purpose: Purpose) -> Option<BrokenStream> {
    let boot_id = vm.boot_id.clone()?;
    let path = route::SHOW_VM_ENDING.of(&vm.id).asking(&EndingQuery { boot_id });
    let ending = client.get::<Option<EndingView>>(path).await.ok()??;
    let is_gone = match client.get::<VmView>(route::SHOW_VM.of(&vm.id)).await {
        Ok(now) => now.pending == Some(PendingWork::Delete),
        Err(ClientError::Refused(body)) => body.code == ErrorCode::NotFound,
        Err(_) => false,
    };
    Some(BrokenStream::GuestEnded { vm: vm.name.to_string(), purpose, ending, is_gone })
}
