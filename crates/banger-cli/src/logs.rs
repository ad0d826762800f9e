//! `vm logs`: the output of the VM's command, or the console of its guest. It is the guest's text, so it is made fit for a
//! terminal unless `--raw` asks for every byte: line breaks and tabs stay, colours are left out, and what else would command
//! the terminal is shown.

use banger_api::{LogsQuery, route};
use banger_sys::paths::Paths;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::absence;
use crate::broken_stream::{self, Purpose};
use crate::console_text::ConsoleText;
use crate::ensure::ensure;
use crate::error::{CliError, Kind};
use crate::exec::find;
use crate::stdio::{Output, Piece};

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOf {
    /// What the VM's command has written; the console of a VM without one.
    Command { follow: bool },
    /// What the guest has written to its console.
    Console { follow: bool },
    /// What the VMM and the processes beside it say.
    Vmm,
}

/// A log broke off.
#[derive(Debug, thiserror::Error)]
#[error("the log ended early")]
struct LogError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<LogError> for CliError {
    fn from(error: LogError) -> Self {
        Self::new(Kind::Lost, error)
    }
}

/// Prints a log.
pub(crate) async fn logs(paths: &Paths, typed: &str, which: LogOf, is_raw: bool) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vm = find(&client, typed).await?;
    let query = match which {
        LogOf::Command { follow } => LogsQuery { follow, vmm: false, command: vm.command.is_some() },
        LogOf::Console { follow } => LogsQuery { follow, vmm: false, command: false },
        LogOf::Vmm => LogsQuery { follow: false, vmm: true, command: false },
    };
    let mut body = client.stream(route::SHOW_VM_LOGS.of(&vm.id).asking(&query)).await?;
    let output = Output::open().map_err(CliError::output)?;
    let sender = output.sender();
    let mut console = ConsoleText::default();
    let mut absence = std::pin::pin!(absence::tell(&client, &vm));
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            never = &mut absence, if query.follow => match never {},
        };
        let Some(frame) = frame else { break };
        let frame = match frame {
            Ok(frame) => frame,
            Err(source) => {
                let broke = LogError { source: Box::new(source) };
                return Err(broken_stream::explain(&client, &vm, Purpose::Log, broke.into()).await);
            }
        };
        let Ok(bytes) = frame.into_data() else { continue };
        let bytes = if is_raw { bytes } else { Bytes::from(console.take(&bytes)) };
        if sender.write(Piece::Stdout(bytes)).await.is_err() {
            break;
        }
    }
    let _ = sender.write(Piece::Stdout(Bytes::from(console.end()))).await;
    drop(sender);
    output.finish().await.map_err(CliError::output)
}
