//! What the driver was chosen and made with.

use std::path::PathBuf;
use std::sync::Arc;

use crate::contract::NetworkLauncher;
use crate::selection::{Accelerator, Choice};

/// The QEMU driver.
#[derive(Clone, Debug)]
pub struct Qemu {
    pub(super) program: PathBuf,
    pub(super) accelerator: Accelerator,
    pub(super) network: Arc<dyn NetworkLauncher>,
}

impl Qemu {
    /// Makes the driver for what was chosen.
    #[must_use]
    pub fn new(choice: &Choice, network: Arc<dyn NetworkLauncher>) -> Self {
        Self { program: choice.program.clone(), accelerator: choice.accelerator, network }
    }
}
