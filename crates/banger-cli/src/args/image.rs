//! The commands under `image`.

use std::path::PathBuf;

use banger_model::{ByteCount, ImageName, KernelName, Sha256};
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::shared::{AvailableArgs, JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Pull an image from the catalog, a registry or a local file, with its kernel
    #[command(after_help = PULL_EXAMPLES)]
    Pull(PullImageArgs),
    /// Register an ext4 file as an image without copying it
    #[command(after_help = REGISTER_EXAMPLES)]
    Register(RegisterArgs),
    /// Copy the files of a registered image so that the originals are no longer needed
    #[command(after_help = "Example:\n  banger image promote mine")]
    Promote {
        /// Image
        #[arg(add = ArgValueCandidates::new(completion::local_images))]
        name: ImageName,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Delete images that no VM uses
    #[command(visible_aliases = ["rm", "remove"], after_help = "Example:\n  banger image delete alpine-3.20 mine")]
    Delete {
        /// Images
        #[arg(value_name = "NAME", required = true, add = ArgValueCandidates::new(completion::local_images))]
        names: Vec<ImageName>,
        /// Do not fail if an image does not exist
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Write an image to a file that `banger image pull --bundle` reads
    #[command(after_help = "Example:\n  banger image bundle dev --output dev.tar.zst")]
    Bundle {
        /// Image
        #[arg(add = ArgValueCandidates::new(completion::local_images))]
        name: ImageName,
        /// File to write [default: NAME.tar.zst]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Manage the cache of pulled layers
    #[command(subcommand, after_help = "Example:\n  banger image cache prune --dry-run")]
    Cache(CacheCommand),
    /// Show the details of an image
    #[command(visible_alias = "inspect", after_help = "Example:\n  banger image show debian-bookworm")]
    Show {
        /// Image
        #[arg(add = ArgValueCandidates::new(completion::images))]
        name: ImageName,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// List images
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  banger image list\n  banger image list --all --json"
    )]
    List(AvailableArgs),
}

const PULL_EXAMPLES: &str = "Examples:
  banger image pull debian-bookworm                   from the catalog
  banger image pull alpine:3.20                       from docker.io, as alpine-3.20
  banger image pull ghcr.io/owner/app:v1 --name app   from another registry, with docker's login
  banger image pull oci:./layout:v1                   from an OCI layout directory
  banger image pull docker-archive:./app.tar          from a file of `docker save`
  banger image pull oci-archive:./app.tar             from an OCI layout in one tar
  docker save app | banger image pull docker-archive:-
  banger image pull --bundle ./dev.tar.zst            from a file of `banger image bundle`
  banger image pull --bundle https://example.org/dev.tar.zst --sha256 DIGEST";

#[derive(Debug, Args)]
pub(crate) struct PullImageArgs {
    /// Catalog name, image reference, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]; `-` in
    /// the place of FILE is stdin
    #[arg(add = ArgValueCandidates::new(completion::images), required_unless_present = "bundle")]
    pub(crate) source: Option<String>,
    /// Pull from a bundle: a file or a URL
    #[arg(long, value_name = "FILE|URL", conflicts_with_all = ["source", "insecure_http"])]
    pub(crate) bundle: Option<String>,
    /// Expected SHA-256 digest of the bundle
    #[arg(long, value_name = "DIGEST", requires = "bundle")]
    pub(crate) sha256: Option<Sha256>,
    /// Minisign public key that must have signed the bundle; the signature is FILE|URL.minisig
    #[arg(long, value_name = "KEY", requires = "bundle")]
    pub(crate) minisign_key: Option<String>,
    /// Name of the image, unless it is from the catalog [default: from its reference]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: Option<ImageName>,
    /// Kernel for VMs of this image, unless it is from the catalog [default: debian-12]
    #[arg(long, allow_hyphen_values = true, add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel: Option<KernelName>,
    /// Connect to the registry without TLS; passwords and images are sent unencrypted
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Refuse an image that unpacks to more than this [default: 64G]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteCount>,
    #[command(flatten)]
    pub(crate) pull: PullArgs,
}

const REGISTER_EXAMPLES: &str = "Examples:
  banger image register --name mine --rootfs ./root.ext4 --kernel-ref debian-12
  banger image register --name mine --rootfs ./root.ext4 \\
      --kernel ./vmlinux --modules ./lib/modules/6.12.9

The files are used in place. They must not change or move until `banger image promote` has copied them.";

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Name of the image
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: ImageName,
    /// Root file system: an ext4 file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) rootfs: PathBuf,
    /// Initial contents of /root: an ext4 file [default: /root of the root file system]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) work_seed: Option<PathBuf>,
    /// Name of the kernel for its VMs
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, required_unless_present = "kernel",
        conflicts_with_all = ["kernel", "initrd", "modules"], add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel_ref: Option<KernelName>,
    /// File of the kernel for its VMs: vmlinux or vmlinuz, imported under the name of the image
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) kernel: Option<PathBuf>,
    /// Accepted and not used: banger builds its own initramfs
    #[arg(long, value_name = "FILE", requires = "kernel", value_hint = clap::ValueHint::FilePath)]
    pub(crate) initrd: Option<PathBuf>,
    /// Directory with the modules of that kernel, as in lib/modules/RELEASE
    #[arg(long, value_name = "DIRECTORY", requires = "kernel", value_hint = clap::ValueHint::DirPath)]
    pub(crate) modules: Option<PathBuf>,
    /// Replace the image of this name, unless VMs use it
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Delete cached layers; images are not affected
    #[command(after_help = "Example:\n  banger image cache prune --dry-run")]
    Prune {
        /// Print what would be deleted without deleting it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
}
