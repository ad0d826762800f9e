//! What is done to a VM, and how it is gone on with where a daemon left it half-done.

use crate::client::{Client, ClientError};
use banger_api::route::{Named, Route};
use banger_api::{
    DeleteVm, ErrorCode, KillVm, OperationKind, OperationView, SetVm, StartVm, StopVm, VmView, route,
};
use banger_model::{KillSignal, VmState};

use crate::operation::{self, Attempt, OnStop};

/// What is done to a VM.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is a route of the daemon with its request")]
pub enum Action {
    Start(StartVm),
    Stop(StopVm),
    Restart(StopVm),
    Kill(KillVm),
    Delete(DeleteVm),
    Set(SetVm),
    Touch,
}

impl Action {
    fn route(&self) -> Route<Named> {
        match self {
            Self::Start(_) => route::START_VM,
            Self::Stop(_) => route::STOP_VM,
            Self::Restart(_) => route::RESTART_VM,
            Self::Kill(_) => route::KILL_VM,
            Self::Delete(_) => route::DELETE_VM,
            Self::Set(_) => route::SET_VM,
            Self::Touch => route::TOUCH_VM,
        }
    }

    /// Returns what a stop does: a start that is given up is undone; the others would leave a VM half-way.
    #[must_use]
    pub fn on_stop(&self) -> OnStop {
        match self {
            Self::Start(_) => OnStop::Cancel,
            Self::Stop(_)
            | Self::Restart(_)
            | Self::Kill(_)
            | Self::Delete(_)
            | Self::Set(_)
            | Self::Touch => OnStop::Leave,
        }
    }

    /// Begins it, or goes on with it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn begin(
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
        let path = self.route().of(&vm.id);
        match self {
            Self::Start(start) => client.post(&path, start).await,
            Self::Stop(stop) | Self::Restart(stop) => client.post(&path, stop).await,
            Self::Kill(kill) => client.post(&path, kill).await,
            Self::Delete(request) => client.post(&path, request).await,
            Self::Set(set) => client.post(&path, set).await,
            Self::Touch => client.post(&path, &()).await,
        }
    }

    /// Goes on where a daemon left: how the VM is now tells what is still to be done.
    async fn ask_again(&self, client: &Client, vm: &VmView) -> Result<OperationView, ClientError> {
        let now = async || client.get::<VmView>(route::SHOW_VM.of(&vm.id)).await;
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
        let Some(left) = left else { return matches!(self, Self::Delete(_)) };
        match self {
            Self::Start(_) => left.state == VmState::Running,
            Self::Stop(_) => !left.state.has_machine(),
            Self::Kill(kill) => kill.signal == KillSignal::Kill && !left.state.has_machine(),
            Self::Restart(_) | Self::Delete(_) | Self::Set(_) | Self::Touch => false,
        }
    }

    fn kind(&self) -> OperationKind {
        match self {
            Self::Start(_) => OperationKind::VmStart,
            Self::Stop(_) => OperationKind::VmStop,
            Self::Restart(_) => OperationKind::VmRestart,
            Self::Kill(_) => OperationKind::VmKill,
            Self::Delete(_) => OperationKind::VmDelete,
            Self::Set(_) => OperationKind::VmSet,
            Self::Touch => OperationKind::VmTouch,
        }
    }
}
