//! `vm run`: makes a VM, runs the shell or one command in it, and with `--rm` leaves nothing behind.

use banger_api::{Client, HostProcess, VmView};
use banger_sys::paths::Paths;
use banger_sys::process::ProcessIdentity;

use crate::args_vm::RunArgs;
use crate::create::{delete, make};
use crate::ensure::ensure;
use crate::error::CliError;
use crate::plan::{After, RunPlan, Then};
use crate::progress::Board;
use crate::render::{self, complain, say};
use crate::session;
use crate::signals::Signals;

/// Exit status when the command succeeded, but its VM could not be deleted.
const DELETE_FAILED: u8 = 1;

/// Runs it; returns the exit status.
pub(crate) async fn run(paths: &Paths, args: RunArgs, board: &Board) -> Result<u8, CliError> {
    let mut plan = RunPlan::of(args)?;
    if matches!(plan.then, Then::Enter { after: After::Delete, .. }) {
        // However we end: the daemon deletes it.
        plan.create.bound_to = ProcessIdentity::of(std::process::id())
            .map(|us| HostProcess { pid: us.pid, start_ticks: us.start_ticks });
    }
    let client = ensure(paths).await?;
    let mut signals = Signals::listen().map_err(CliError::Signals)?;
    let (vm, progress) = make(&client, &plan.create, &mut signals, board).await?;
    progress.finish(Some(vm.name.as_str()));
    let (process, after) = match plan.then {
        Then::Leave => {
            render::print(&format!("{}\n", vm.name))?;
            return Ok(0);
        }
        Then::Enter { process, after } => (process, after),
    };
    let ended = session::attach(&client, &vm, &process, &mut signals).await;
    match after {
        After::Delete => remove(paths, &vm, ended, &mut signals).await,
        After::Keep => {
            if !matches!(board, Board::Quiet) {
                tell_it_runs(&client, &vm).await;
            }
            ended
        }
    }
}

/// Deletes the VM however its process ended. How that was counts for more than a failed deletion.
async fn remove(
    paths: &Paths,
    vm: &VmView,
    ended: Result<u8, CliError>,
    signals: &mut Signals,
) -> Result<u8, CliError> {
    let deleted = match ensure(paths).await {
        Ok(client) => delete(&client, vm, signals).await,
        Err(error) => Err(error.into()),
    };
    match deleted {
        Ok(()) => ended.map_err(|error| CliError::Deleted(Box::new(error))),
        Err(error) => {
            complain(Some(&format!("cannot delete `{}`", vm.name)), &error);
            ended.map(|status| if status == 0 { DELETE_FAILED } else { status })
        }
    }
}

async fn tell_it_runs(client: &Client, vm: &VmView) {
    let path = format!("/v1/vms/{}", vm.id);
    // Without an answer nothing is claimed.
    let Ok(now) = client.get::<VmView>(&path).await else { return };
    if now.state.has_machine() {
        let name = &now.name;
        say(&format!(
            "VM `{name}` is still running; stop it with `banger vm stop {name}`, delete it with `banger vm delete {name}`"
        ));
    }
}
