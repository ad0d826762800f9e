//! `vm create`, and the making of a VM for `vm run`.

use std::path::Path;

use banger_api::{CreateVm, DeleteVm, OperationView, VmView, route};
use banger_client::{Action, Client, Ended, OnStop, result};
use banger_model::{ArtifactKind, Hint};
use banger_sys::id::random_hex;
use banger_sys::paths::Paths;

use crate::args::create::CreateArgs;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::hint;
use crate::image::with_our_docker;
use crate::interruption::undone;
use crate::operation;
use crate::plan::PlanError;
use crate::progress::{Board, Progress};
use crate::render;
use crate::signals::Signals;
use crate::source_path::is_archive_name;

/// Makes a VM and prints its name.
pub(crate) async fn create(paths: &Paths, args: CreateArgs, board: &Board) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let mut signals = Signals::listen()?;
    let is_started = !args.no_start;
    let made = make(&client, &args.sizing.into_request(args.no_start), &mut signals, board).await;
    let vm = made.map_err(|error| with_images(error, None))?;
    vm.1.finish(is_started.then_some(vm.0.name.as_str()));
    Form::of(args.json.json, board).print(&vm.0, vm.0.id.as_str(), || format!("{}\n", vm.0.name))
}

/// Names the command that may have been meant where an image was expected, or else where the images are listed.
pub(crate) fn with_images(error: CliError, as_command: Option<String>) -> CliError {
    if !error.may_mean_a_command() {
        return error;
    }
    let hint = match as_command {
        Some(line) => Some(format!("if it is a command: {line}")),
        None => hint::words(&Hint::ListKnown { kind: ArtifactKind::Image }),
    };
    error.with_hint(hint)
}

/// Makes a VM. When a signal cancels it, nothing is left behind.
pub(crate) async fn make(
    client: &Client,
    request: &CreateVm,
    signals: &mut Signals,
    board: &Board,
) -> Result<(VmView, Progress), CliError> {
    let mut progress = board.progress(None);
    // With a key, a request that is repeated because the daemon went away makes one VM.
    let mut request = request.clone();
    if let Some(source) = request.image_source.take() {
        // Without a slash it may be meant as a reference, unless there is such a file.
        if is_archive_name(&source.source) && Path::new(&source.source).is_file() {
            return Err(PlanError::FirstArchive(format!("./{}", source.source)).into());
        }
        request.image_source = Some(with_our_docker(source)?);
    }
    request.idempotency_key = request.idempotency_key.or_else(|| random_hex::<16>().parse().ok());
    let begin = async |_attempt| client.post::<OperationView>(route::CREATE_VM, &request).await;
    match operation::follow(client, begin, signals, OnStop::Cancel, &mut progress).await? {
        Ended::Succeeded(operation) => {
            operation.notes.iter().for_each(|note| render::say(note));
            Ok((result(operation, "VM")?, progress))
        }
        Ended::TooLate { operation, stop } => {
            let vm: VmView = result(operation, "VM")?;
            delete(client, &vm, signals).await?;
            Err(undone(stop))
        }
    }
}

/// Deletes a VM. A signal while it works leaves the rest to the daemon.
pub(crate) async fn delete(client: &Client, vm: &VmView, signals: &mut Signals) -> Result<(), CliError> {
    let delete = Action::Delete(DeleteVm::default());
    let begin = async |attempt| delete.begin(client, vm, attempt).await;
    let mut progress = Board::Quiet.progress(None);
    operation::follow(client, begin, signals, OnStop::Leave, &mut progress).await?;
    Ok(())
}
