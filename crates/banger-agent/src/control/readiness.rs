//! How far the guest's start has come. It only advances: `booted` → `agent` → `system`.

use banger_agent_proto::Readiness;
use tokio::sync::watch;

/// How far the guest's start has come, and the state that its init reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) readiness: Readiness,
    pub(crate) system_state: String,
}

/// Records the progress.
#[derive(Debug)]
pub(crate) struct ReadinessBoard {
    progress: watch::Sender<Progress>,
    /// There is no init that reports, so reaching `agent` also reaches `system`.
    is_without_init: bool,
}

impl ReadinessBoard {
    pub(crate) fn new(is_without_init: bool) -> Self {
        let booted = Progress { readiness: Readiness::Booted, system_state: String::new() };
        Self { progress: watch::Sender::new(booted), is_without_init }
    }

    pub(crate) fn current(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// The guest has its identity.
    pub(crate) fn identified(&self) {
        let reached = if self.is_without_init { Readiness::System } else { Readiness::Agent };
        self.advance(reached);
    }

    /// Records the init's state; `is_up` is true once its default target was reached.
    pub(crate) fn system(&self, state: &str, is_up: bool) {
        self.progress.send_modify(|progress| state.clone_into(&mut progress.system_state));
        if is_up {
            self.advance(Readiness::System);
        }
    }

    /// Waits until the guest has reached at least this boundary.
    pub(crate) async fn reached(&self, boundary: Readiness) -> Progress {
        let mut progress = self.progress.subscribe();
        match progress.wait_for(|progress| progress.readiness >= boundary).await {
            Ok(progress) => progress.clone(),
            // The sender is `self`, so it is alive.
            Err(_) => self.current(),
        }
    }

    fn advance(&self, reached: Readiness) {
        self.progress.send_modify(|progress| progress.readiness = progress.readiness.max(reached));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_never_steps_back() {
        let board = ReadinessBoard::new(false);
        board.system("running", true);
        board.identified();
        assert_eq!(
            board.current(),
            Progress { readiness: Readiness::System, system_state: "running".into() }
        );
    }

    #[tokio::test]
    async fn without_an_init_the_identity_is_the_last_step() {
        let board = ReadinessBoard::new(true);
        assert_eq!(board.current().readiness, Readiness::Booted);
        let (reached, ()) = tokio::join!(board.reached(Readiness::System), async { board.identified() });
        assert_eq!(reached.readiness, Readiness::System);
    }
}
