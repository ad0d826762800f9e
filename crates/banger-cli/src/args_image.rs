//! The commands under `image`.

use std::path::PathBuf;

use banger_model::{ImageName, KernelName, Sha256};
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::{JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Get an image, with the kernel that it needs: of the catalog, of a registry, or of this host
    #[command(after_help = PULL_EXAMPLES)]
    Pull(PullImageArgs),
    /// Make a file of an image, which others can pull with `--bundle`
    #[command(after_help = "Example:\n  banger image bundle dev --output dev.tar.zst")]
    Bundle {
        /// Image
        #[arg(add = ArgValueCandidates::new(completion::images))]
        name: ImageName,
        /// File to write [default: NAME.tar.zst]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Look after what pulls from registries have kept to be used again
    #[command(subcommand, after_help = "Example:\n  banger image cache prune --dry-run")]
    Cache(CacheCommand),
    /// List images: those here and those in the catalog
    #[command(after_help = "Example:\n  banger image list --json")]
    List(JsonArgs),
}

const PULL_EXAMPLES: &str = "Examples:
  banger image pull debian-bookworm                   an image of the catalog
  banger image pull alpine:3.20                       from docker.io, called alpine-3.20 here
  banger image pull ghcr.io/owner/app:v1 --name app   from another registry, with docker's login
  banger image pull oci:./layout:v1                   from a directory in the form of the OCI layout
  banger image pull docker-archive:./app.tar          from a file that `docker save` has written
  banger image pull --bundle ./dev.tar.zst            from a file that `banger image bundle` has written
  banger image pull --bundle https://example.org/dev.tar.zst --sha256 <digest>";

#[derive(Debug, Args)]
pub(crate) struct PullImageArgs {
    /// Name in the catalog, reference, oci:DIRECTORY[:TAG] or docker-archive:FILE[:NAME]
    #[arg(add = ArgValueCandidates::new(completion::images), required_unless_present = "bundle")]
    pub(crate) source: Option<String>,
    /// Make the image of a bundle, a file or an address
    #[arg(long, value_name = "FILE|URL", conflicts_with_all = ["source", "insecure_http"])]
    pub(crate) bundle: Option<String>,
    /// Digest that the bundle must have
    #[arg(long, value_name = "DIGEST", requires = "bundle")]
    pub(crate) sha256: Option<Sha256>,
    /// Public key of minisign with which the bundle must be signed, in FILE|URL.minisig
    #[arg(long, value_name = "KEY", requires = "bundle")]
    pub(crate) minisign_key: Option<String>,
    /// Name of an image that is not from the catalog [default: made of its source]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: Option<ImageName>,
    /// Kernel for VMs of an image that is not from the catalog [default: debian-12]
    #[arg(long, allow_hyphen_values = true, add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel: Option<KernelName>,
    /// Ask a registry of another host without TLS; passwords and images go there unencrypted
    #[arg(long)]
    pub(crate) insecure_http: bool,
    #[command(flatten)]
    pub(crate) pull: PullArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Remove the layers that pulls have kept; images stay as they are
    #[command(after_help = "Example:\n  banger image cache prune --dry-run")]
    Prune {
        /// Only tell what would be removed
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
}
