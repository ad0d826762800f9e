//! What the driver was chosen and made with.

use std::path::PathBuf;
use std::sync::Arc;

use super::config::Tuning;
use crate::contract::NetworkLauncher;
use crate::selection::Choice;

/// The Firecracker driver.
#[derive(Clone, Debug)]
pub struct Firecracker {
    pub(super) program: PathBuf,
    /// A program that plays the roles of [`crate::role`].
    pub(super) helper: PathBuf,
    pub(super) network: Arc<dyn NetworkLauncher>,
    pub(super) tuning: Tuning,
}

impl Firecracker {
    /// Makes the driver for what was chosen. The helper is a program that calls [`crate::role::play`] first of all: it
    /// becomes the cell and the pager.
    #[must_use]
    pub fn new(choice: &Choice, helper: impl Into<PathBuf>, network: Arc<dyn NetworkLauncher>) -> Self {
        Self { program: choice.program.clone(), helper: helper.into(), network, tuning: Tuning::default() }
    }

    /// Takes the user's choices.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }
}
