//! `vm exec`: runs a command in a running VM.

use banger_api::{VmView, route};
use banger_client::Client;
use banger_sys::paths::Paths;

use crate::args::vm::ExecArgs;
use crate::ensure::ensure;
use crate::environment_file;
use crate::error::CliError;
use crate::form::Form;
use crate::plan::ExecPlan;
use crate::progress::Board;
use crate::session;
use crate::signals::Signals;
use crate::terminal;

/// Runs it; returns the exit status.
pub(crate) async fn exec(paths: &Paths, mut args: ExecArgs, board: &Board) -> Result<u8, CliError> {
    let typed = args.vm.vm.clone();
    args.process = environment_file::join(args.process)?;
    let form = Form::of(args.json, board);
    let plan = ExecPlan::of(args.detach, args)?;
    if let ExecPlan::Attached(process) = &plan {
        terminal::check(process.reads_a_terminal())?;
    }
    let client = ensure(paths).await?;
    let vm = find(&client, &typed).await?;
    match plan {
        ExecPlan::Attached(process) => {
            let mut signals = Signals::listen()?;
            session::attach(&client, &vm, &process, &mut signals).await
        }
        ExecPlan::Detached(process) => {
            let pid = session::detach(&client, &vm, &process).await?;
            form.print(&serde_json::json!({ "vm": vm.name, "pid": pid }), &pid.to_string(), || {
                format!("{pid}\n")
            })?;
            Ok(0)
        }
    }
}

/// Returns the VM that is meant by what was typed.
pub(crate) async fn find(client: &Client, typed: &str) -> Result<VmView, CliError> {
    Ok(client.get(route::SHOW_VM.of(typed)).await?)
}
