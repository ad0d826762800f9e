//! The commands under `kernel`.

use banger_model::KernelName;
use clap::Subcommand;
use clap_complete::ArgValueCandidates;

use crate::args::{JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Get a kernel of the catalog
    #[command(after_help = "Example:\n  banger kernel pull debian-12")]
    Pull {
        /// Name in the catalog
        #[arg(add = ArgValueCandidates::new(completion::kernels))]
        name: KernelName,
        #[command(flatten)]
        pull: PullArgs,
    },
    /// List kernels: those here and those in the catalog
    #[command(after_help = "Example:\n  banger kernel list --json")]
    List(JsonArgs),
}
