//! `vm exec`: runs a command in a running VM.

use banger_api::{Client, VmView};
use banger_sys::paths::Paths;

use crate::args_vm::ExecArgs;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::plan::ExecPlan;
use crate::render;
use crate::session;
use crate::signals::Signals;

/// Runs it; returns the exit status.
pub(crate) async fn exec(paths: &Paths, args: ExecArgs) -> Result<u8, CliError> {
    let typed = args.vm.vm.clone();
    let plan = ExecPlan::of(args.detach, args)?;
    let client = ensure(paths).await?;
    let vm = find(&client, &typed).await?;
    match plan {
        ExecPlan::Attached(process) => {
            let mut signals = Signals::listen().map_err(CliError::Signals)?;
            session::attach(&client, &vm, &process, &mut signals).await
        }
        ExecPlan::Detached(process) => {
            let pid = session::detach(&client, &vm, &process).await?;
            render::print(&format!("{pid}\n"))?;
            Ok(0)
        }
    }
}

/// Returns the VM that is meant by what was typed.
pub(crate) async fn find(client: &Client, typed: &str) -> Result<VmView, CliError> {
    Ok(client.get(&format!("/v1/vms/{typed}")).await?)
}
