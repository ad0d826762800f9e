//! `vm run`: makes a VM, runs the shell or one command in it, and with `--rm` leaves nothing behind.

use std::time::Duration;

use banger_api::{HostProcess, ImageDetails, VmView, route};
use banger_client::Client;
use banger_sys::paths::Paths;
use banger_sys::process::ProcessIdentity;

use crate::args::create::RunArgs;
use crate::create::{delete, make, with_images};
use crate::ensure::ensure;
use crate::environment_file;
use crate::error::CliError;
use crate::form::Form;
use crate::plan::{After, Process, RunPlan, Then};
use crate::progress::Board;
use crate::render::{complain, say};
use crate::session;
use crate::signals::Signals;
use crate::terminal;

/// Exit status when the command succeeded, but its VM could not be deleted.
const DELETE_FAILED: u8 = 1;

/// How often, and after what time each, it is looked whether the daemon has heard of a command: 2 s at most.
const HEARD_LOOKS: u32 = 50;
const HEARD_PAUSE: Duration = Duration::from_millis(40);

/// Runs it; returns the exit status.
pub(crate) async fn run(paths: &Paths, mut args: RunArgs, board: &Board) -> Result<u8, CliError> {
    args.process = environment_file::join(args.process)?;
    let form = Form::of(args.json, board);
    let mut plan = RunPlan::of(args)?;
    if let Then::Enter { process, .. } = &plan.then {
        terminal::check(process.reads_a_terminal())?;
    }
    if matches!(plan.then, Then::Enter { after: After::Delete, .. }) {
        // However we end: the daemon deletes it.
        plan.create.bound_to = ProcessIdentity::of(std::process::id())
            .map(|us| HostProcess { pid: us.pid, start_ticks: us.start_ticks });
    }
    let client = ensure(paths).await?;
    let mut signals = Signals::listen()?;
    let made = make(&client, &plan.create, &mut signals, board).await;
    let (vm, progress) = made.map_err(|error| with_images(error, plan.as_command))?;
    progress.finish(Some(vm.name.as_str()));
    let (process, after) = match plan.then {
        Then::Detach(process) => {
            let left = leave_running(&client, &vm, &process).await;
            if left.is_err() {
                tell_it_runs(&client, &vm).await;
            }
            left?;
            return form.print(&vm, vm.id.as_str(), || format!("{}\n", vm.name)).map(|()| 0);
        }
        Then::Enter { process, after } => (process, after),
    };
    let ended = session::attach(&client, &vm, &process, &mut signals).await;
    match after {
        After::Delete => remove(paths, &vm, ended, &mut signals).await,
        After::Keep => {
            // Who asked for quiet has not seen its name, and a command that did not run needs it.
            if ended.is_err() || !matches!(board, Board::Quiet) {
                tell_it_runs(&client, &vm).await;
            }
            ended
        }
    }
}

/// Starts what runs in a VM that is not entered: the command, or that of its image, which may have none.
async fn leave_running(client: &Client, vm: &VmView, process: &Process) -> Result<(), CliError> {
    if process.needs_images_command() {
        let image: ImageDetails = client.get(route::SHOW_IMAGE.of(&vm.image)).await?;
        if image.process.is_none_or(|process| process.command.is_empty()) {
            if process.has_settings() {
                say(&format!("image `{}` has no command, so none was started in VM `{}`", vm.image, vm.name));
            }
            return Ok(());
        }
    }
    session::detach(client, vm, process).await?;
    until_heard_of(client, vm).await;
    Ok(())
}

/// Waits for the daemon to know the command, so that a `vm logs` that follows is about it. It is the guest that tells the daemon,
/// a moment later, and no event says so.
async fn until_heard_of(client: &Client, vm: &VmView) {
    for _look in 0..HEARD_LOOKS {
        match client.get::<VmView>(route::SHOW_VM.of(&vm.id)).await {
            Ok(now) if now.command.is_none() && now.state.has_machine() => {}
            _ => return,
        }
        tokio::time::sleep(HEARD_PAUSE).await;
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
        Ok(()) => ended.map_err(CliError::without_hint),
        Err(error) => {
            complain(Some(&format!("cannot delete `{}`", vm.name)), &error);
            ended.map(|status| if status == 0 { DELETE_FAILED } else { status })
        }
    }
}

async fn tell_it_runs(client: &Client, vm: &VmView) {
    // Without an answer nothing is claimed.
    let Ok(now) = client.get::<VmView>(route::SHOW_VM.of(&vm.id)).await else { return };
    if now.state.has_machine() {
        let name = &now.name;
        say(&format!(
            "VM `{name}` is still running; `banger stop {name}` stops it, `banger rm {name}` deletes it"
        ));
    }
}
