//! `vm prune`: deletes every VM that has no machine, after asking.

use std::io::{self, BufRead as _, IsTerminal as _};

use banger_api::{DeleteVm, VmView, route};
use banger_client::Action;
use banger_sys::paths::Paths;

use crate::args::vm::PruneArgs;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::lifecycle::{self, Missing};
use crate::list::vm_table;
use crate::painted::Painted;
use crate::progress::Board;
use crate::render::{self, say, say_painted};

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
enum PruneError {
    #[error("cannot ask for confirmation without a terminal; use `--yes`")]
    NoTerminal,
    #[error("cannot read the answer")]
    Read(#[source] io::Error),
}

impl From<PruneError> for CliError {
    fn from(error: PruneError) -> Self {
        Self::failed(error)
    }
}

/// Lists what would go, asks, and deletes it. A VM that is started meanwhile stays: the daemon refuses to delete it.
pub(crate) async fn prune(paths: &Paths, args: &PruneArgs, board: &Board) -> Result<(), CliError> {
    let form = Form::of(args.json, board);
    let client = ensure(paths).await?;
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    let stopped: Vec<VmView> = vms.into_iter().filter(is_prunable).collect();
    if stopped.is_empty() {
        if form == Form::Text {
            say("no VMs to delete");
        }
        return if form == Form::Json { render::print_json(&stopped) } else { Ok(()) };
    }
    if !args.yes && !confirm(&stopped)? {
        say("no VMs deleted");
        return Ok(());
    }
    let targets = stopped.iter().map(|vm| (vm.name.as_str(), Ok(vm))).collect();
    let action = Action::Delete(DeleteVm { only_stopped: true });
    lifecycle::act_on_all(&client, (&action, Missing::IsFine), targets, form, board).await
}

/// A VM without a machine on which nobody works.
fn is_prunable(vm: &VmView) -> bool {
    !vm.state.has_machine() && vm.pending.is_none()
}

fn confirm(vms: &[VmView]) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(PruneError::NoTerminal.into());
    }
    let mut question = Painted::default();
    for line in vm_table(vms, jiff::Timestamp::now()).lines() {
        question = question.push(line).end_line();
    }
    say_painted(&question.push("Delete these VMs with their disks? [y/N] "));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(PruneError::Read)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_or_is_being_made_is_never_pruned() {
        let vm = |state: &str, pending: Option<&str>| -> VmView {
            serde_json::from_value(serde_json::json!({
                "id": "0123456789abcdef", "name": "dev", "state": state, "image": "i", "kernel": "k", "vcpus": 1,
                "memory_mib": 512, "disk_bytes": 1 << 30, "created_at": "", "pending": pending
            }))
            .unwrap()
        };
        for state in ["created", "stopped", "failed"] {
            assert!(is_prunable(&vm(state, None)), "{state}");
            assert!(!is_prunable(&vm(state, Some("create"))), "{state}");
        }
        for state in ["starting", "running", "stopping"] {
            assert!(!is_prunable(&vm(state, None)), "{state}");
        }
    }
}
