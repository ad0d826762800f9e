//! `vm start|stop|restart|kill|delete|set|touch`: several VMs at once, told in the order in which they were typed.

use banger_api::{
    Client, ClientError, DeleteVm, ErrorCode, KillVm, OperationKind, OperationView, SetVm, StartVm, StopVm,
    VmView,
};
use banger_model::{KillSignal, VmState};
use banger_sys::paths::Paths;
use futures::future::join_all;

use crate::args::shared::ManyVms;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::operation::{self, Attempt, Ended, OnStop};
use crate::outcome::{Done, Outcome, tell};
use crate::progress::Board;
use crate::resolve::{Target, resolve};
use crate::signals::Signals;

/// What is done to VMs.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Start(StartVm),
    Stop(StopVm),
    Restart(StopVm),
    Kill(KillVm),
    Delete {
        request: DeleteVm,
        /// One that is gone already is fine.
        may_be_gone: bool,
    },
    Set(SetVm),
    Touch,
}

impl Action {
    fn route(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Kill(_) => "kill",
            Self::Delete { .. } => "delete",
            Self::Set(_) => "set",
            Self::Touch => "touch",
        }
    }

    fn done(&self) -> &'static str {
        match self {
            Self::Start(_) => "started",
            Self::Stop(_) => "stopped",
            Self::Restart(_) => "restarted",
            Self::Kill(kill) if kill.signal != KillSignal::Kill => "signalled",
            Self::Kill(_) => "killed",
            Self::Delete { .. } => "deleted",
            Self::Set(_) => "updated",
            Self::Touch => "reset the time to live of",
        }
    }

    /// A start that is given up is undone; the others would leave a VM half-way.
    fn on_stop(&self) -> OnStop {
        match self {
            Self::Start(_) => OnStop::Cancel,
            Self::Stop(_)
            | Self::Restart(_)
            | Self::Kill(_)
            | Self::Delete { .. }
            | Self::Set(_)
            | Self::Touch => OnStop::Leave,
        }
    }

    /// Tells whether a VM that does not exist is as it should be.
    fn forgives(&self, error: &CliError) -> bool {
        matches!(self, Self::Delete { may_be_gone: true, .. }) && error.is_missing()
    }

    /// Begins it, or goes on with it.
    pub(crate) async fn begin(
        &self,
        client: &Client,
        vm: &VmView,
        attempt: Attempt,
    ) -> Result<OperationView, ClientError> {
        match attempt {
            Attempt::First => self.ask(client, vm).await,
            Attempt::Again => self.ask_again(client, vm).await,
        }
    }

    async fn ask(&self, client: &Client, vm: &VmView) -> Result<OperationView, ClientError> {
        let path = format!("/v1/vms/{}/{}", vm.id, self.route());
        match self {
            Self::Start(start) => client.post(&path, start).await,
            Self::Stop(stop) | Self::Restart(stop) => client.post(&path, stop).await,
            Self::Kill(kill) => client.post(&path, kill).await,
            Self::Delete { request, .. } => client.post(&path, request).await,
            Self::Set(set) => client.post(&path, set).await,
            Self::Touch => client.post(&path, &()).await,
        }
    }

    /// Goes on where a daemon left: how the VM is now tells what is still to be done.
    async fn ask_again(&self, client: &Client, vm: &VmView) -> Result<OperationView, ClientError> {
        let now = async || client.get::<VmView>(&format!("/v1/vms/{}", vm.id)).await;
        if let Self::Restart(_) = self
            && !now().await?.state.has_machine()
        {
            return Self::Start(StartVm::default()).ask(client, vm).await;
        }
        let refused = match self.ask(client, vm).await {
            Err(ClientError::Refused(refused)) => refused,
            begun => return begun,
        };
        let left = match now().await {
            Ok(left) => Some(left),
            Err(ClientError::Refused(body)) if body.code == ErrorCode::NotFound => None,
            Err(error) => return Err(error),
        };
        if self.is_done(left.as_ref()) {
            let result = left.map(|left| serde_json::json!(left));
            return Ok(operation::finished(self.kind(), vm.name.as_str(), result));
        }
        Err(ClientError::Refused(refused))
    }

    /// Tells whether a VM that is left so, or is gone, is what was asked for.
    fn is_done(&self, left: Option<&VmView>) -> bool {
        let Some(left) = left else { return matches!(self, Self::Delete { .. }) };
        match self {
            Self::Start(_) => left.state == VmState::Running,
            Self::Stop(_) => !left.state.has_machine(),
            Self::Kill(kill) => kill.signal == KillSignal::Kill && !left.state.has_machine(),
            Self::Restart(_) | Self::Delete { .. } | Self::Set(_) | Self::Touch => false,
        }
    }

    fn kind(&self) -> OperationKind {
        match self {
            Self::Start(_) => OperationKind::VmStart,
            Self::Stop(_) => OperationKind::VmStop,
            Self::Restart(_) => OperationKind::VmRestart,
            Self::Kill(_) => OperationKind::VmKill,
            Self::Delete { .. } => OperationKind::VmDelete,
            Self::Set(_) => OperationKind::VmSet,
            Self::Touch => OperationKind::VmTouch,
        }
    }
}

/// Does it to all of them; fails when it failed for any.
pub(crate) async fn act(
    paths: &Paths,
    action: &Action,
    targets: &ManyVms,
    board: &Board,
) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vms: Vec<VmView> = client.get("/v1/vms").await?;
    let form = Form::of(targets.json, board);
    act_on_all(&client, action, resolve(&targets.vms, &vms), form, board).await
}

/// Does it to these VMs; fails when it failed for any.
pub(crate) async fn act_on_all(
    client: &Client,
    action: &Action,
    targets: Vec<Target<'_>>,
    form: Form,
    board: &Board,
) -> Result<(), CliError> {
    let has_several = targets.len() > 1;
    let each = targets.into_iter().map(|(typed, found)| async move {
        let (target, id, result) = match found {
            Ok(vm) => {
                (vm.name.to_string(), vm.id.to_string(), act_on(client, action, vm, has_several, board).await)
            }
            Err(error) => (typed.to_owned(), typed.to_owned(), Err(error.into())),
        };
        let result = match result {
            Err(error) if action.forgives(&error) => {
                let note = format!("there is no VM `{target}`");
                Ok(Done { was_already: true, notes: vec![note], ..Done::default() })
            }
            result => result,
        };
        Outcome { target, id, result }
    });
    let outcomes = join_all(each).await;
    tell(action.done(), "vm", &outcomes, form)
}

async fn act_on(
    client: &Client,
    action: &Action,
    vm: &VmView,
    has_several: bool,
    board: &Board,
) -> Result<Done, CliError> {
    let mut signals = Signals::listen()?;
    let mut progress = board.progress(has_several.then_some(vm.name.as_str()));
    let begin = async |attempt| action.begin(client, vm, attempt).await;
    let ended = operation::follow(client, begin, &mut signals, action.on_stop(), &mut progress).await?;
    match ended {
        Ended::Succeeded(operation) | Ended::TooLate { operation, .. } => Ok(operation.into()),
    }
}
