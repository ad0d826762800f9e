//! The commands under `image`.

use banger_model::ImageName;
use clap::Subcommand;
use clap_complete::ArgValueCandidates;

use crate::args::{JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Get an image of the catalog, with the kernel that it needs
    #[command(after_help = "Example:\n  banger image pull debian-bookworm")]
    Pull {
        /// Name in the catalog
        #[arg(add = ArgValueCandidates::new(completion::images))]
        name: ImageName,
        #[command(flatten)]
        pull: PullArgs,
    },
    /// List images: those here and those in the catalog
    #[command(after_help = "Example:\n  banger image list --json")]
    List(JsonArgs),
}
