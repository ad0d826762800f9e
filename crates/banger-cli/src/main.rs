//! `banger`: development sandboxes on microVMs, in one command.
//!
//! Arguments become types at once (`args`), what they mean together is decided without asking anybody (`plan`); then
//! the daemon is made sure of (`ensure`), does the work as an operation (`operation`, `progress`), and a command in
//! the guest is connected to our own stdin, stdout and signals (`session`).

mod absence;
mod archive_input;
mod archive_start;
mod args;
mod broken_stream;
mod bundle;
mod completion;
mod console_text;
mod cp;
mod create;
mod daemon;
mod df;
mod doctor;
mod ensure;
mod environment_file;
mod error;
mod escape_keys;
mod events;
mod exec;
mod foreign;
mod form;
mod habits;
mod hint;
#[cfg(test)]
mod hints_tests;
mod host_path;
mod image;
mod interruption;
mod kernel;
mod lifecycle;
mod list;
mod logs;
mod operation;
mod operations;
mod outcome;
mod painted;
mod plan;
mod ports;
mod progress;
mod prune;
mod pull;
mod removal;
mod render;
mod run;
mod screen;
mod session;
mod setup;
mod shell_words;
mod signals;
mod source_path;
mod ssh;
mod ssh_words;
mod stats;
mod stdio;
mod streamed_source;
mod targets;
mod terminal;
mod usage;
mod version;

use std::io;
use std::process::ExitCode;

use banger_api::{API_VERSION, DeleteVm, KillVm, StartVm, StopVm};
use banger_client::Action;
use banger_sys::paths::{Paths, PathsError};
use serde_json::json;

use crate::args::daemon::DaemonCommand;
use crate::args::image::ImageCommand;
use crate::args::vm::VmCommand;
use crate::args::{Cli, Command};
use crate::error::CliError;
use crate::form::Form;
use crate::lifecycle::Missing;
use crate::progress::Board;

/// No runtime could be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the runtime")]
struct RuntimeError(#[source] io::Error);

impl From<RuntimeError> for CliError {
    fn from(error: RuntimeError) -> Self {
        Self::failed(error)
    }
}

impl From<PathsError> for CliError {
    fn from(error: PathsError) -> Self {
        Self::failed(error)
    }
}

fn main() -> ExitCode {
    completion::answer();
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match args::parse(&words) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage::tell(&error, &words)),
    };
    match run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            render::complain(None, &error);
            ExitCode::from(error.exit_status())
        }
    }
}

/// Runs what needs no daemon at once, and the rest on a runtime of one thread.
fn run(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Version(args) => show_version(args.json).map(|()| 0),
        Command::Completion { shell } => completion::script(&shell).map(|()| 0),
        command => {
            let board = Board::new(cli.quiet);
            let paths = Paths::from_environment()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(RuntimeError)?;
            let result = runtime.block_on(dispatch(&paths, command, &board));
            // What still waits for the daemon or the guest must not keep us.
            runtime.shutdown_background();
            result
        }
    }
}

/// Prints the version.
fn show_version(as_json: bool) -> Result<(), CliError> {
    if as_json {
        return render::print_json(&json!({
            "version": version::VERSION,
            "commit": version::COMMIT,
            "api_version": API_VERSION,
        }));
    }
    render::print(&format!("banger {}\n", version::line()))
}

async fn dispatch(paths: &Paths, command: Command, board: &Board) -> Result<u8, CliError> {
    match command {
        Command::Vm(command) | Command::Short(command) => {
            return Box::pin(dispatch_vm(paths, command, board)).await;
        }
        Command::Images(args) => image::run(paths, ImageCommand::List(args), board).await?,
        Command::Pull(args) => image::run(paths, ImageCommand::Pull(args), board).await?,
        Command::Df(args) => df::df(paths, args.json).await?,
        Command::Info(args) => daemon::run(paths, DaemonCommand::Status(args), board).await?,
        Command::Image(command) => image::run(paths, command, board).await?,
        Command::Kernel(command) => kernel::run(paths, command, board).await?,
        Command::Events(args) => events::events(paths, &args).await?,
        Command::Operation(command) => operations::run(paths, command, board).await?,
        Command::Daemon(command) => daemon::run(paths, command, board).await?,
        Command::Setup(command) => setup::run(paths, command).await?,
        Command::Doctor(args) => doctor::doctor(paths, args.json).await?,
        Command::Version(args) => show_version(args.json)?,
        Command::Completion { shell } => completion::script(&shell)?,
        Command::Proxy { host, port } => ssh::proxy(paths, &host, port).await?,
    }
    Ok(0)
}

async fn dispatch_vm(paths: &Paths, command: VmCommand, board: &Board) -> Result<u8, CliError> {
    match command {
        VmCommand::Run(args) => return Box::pin(run::run(paths, args, board)).await,
        VmCommand::Exec(args) => return exec::exec(paths, args, board).await,
        VmCommand::Ssh { vm, arguments } => return ssh::ssh(paths, &vm.vm, &arguments).await,
        VmCommand::Cp(args) => return cp::cp(paths, args, board).await,
        VmCommand::Stats { vms, watch, no_stream: _ } => {
            return stats::stats(paths, &vms, watch, board).await;
        }
        VmCommand::Ports(vms) => ports::ports(paths, &vms, board).await?,
        VmCommand::Create(args) => create::create(paths, args, board).await?,
        VmCommand::List(args) => list::list(paths, Form::of(args.json.json, board)).await?,
        VmCommand::Show { vm, json } => {
            list::show(paths, &vm.vm, Form::of(json.json, board)).await?;
        }
        VmCommand::Start { vms, wait } => {
            let action = Action::Start(StartVm { wait: wait.boundary() });
            lifecycle::act(paths, &action, Missing::Fails, &vms, board).await?;
        }
        VmCommand::Stop { vms, grace } => {
            let action = Action::Stop(StopVm { grace_secs: grace.grace });
            lifecycle::act(paths, &action, Missing::Fails, &vms, board).await?;
        }
        VmCommand::Restart { vms, grace } => {
            let action = Action::Restart(StopVm { grace_secs: grace.grace });
            lifecycle::act(paths, &action, Missing::Fails, &vms, board).await?;
        }
        VmCommand::Kill { vms, signal } => {
            lifecycle::act(paths, &Action::Kill(KillVm { signal }), Missing::Fails, &vms, board).await?;
        }
        VmCommand::Delete { vms, force } => {
            let missing = if force { Missing::IsFine } else { Missing::Fails };
            lifecycle::act(paths, &Action::Delete(DeleteVm::default()), missing, &vms, board).await?;
        }
        VmCommand::Prune(args) => prune::prune(paths, &args, board).await?,
        VmCommand::Set { vms, change } => {
            lifecycle::act(paths, &Action::Set(change.request()), Missing::Fails, &vms, board).await?;
        }
        VmCommand::Touch { vms } => {
            lifecycle::act(paths, &Action::Touch, Missing::Fails, &vms, board).await?;
        }
        VmCommand::Logs { vm, follow, raw, console, vmm } => {
            let which = match (vmm, console) {
                (true, _) => logs::LogOf::Vmm,
                (false, true) => logs::LogOf::Console { follow },
                (false, false) => logs::LogOf::Command { follow },
            };
            logs::logs(paths, &vm.vm, which, raw).await?;
        }
    }
    Ok(0)
}
