//! The commands under `image`.

use std::path::PathBuf;

use banger_model::{ByteCount, ImageName, KernelName, Sha256};
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::{JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Get an image, with the kernel that it needs: of the catalog, of a registry, or of this host
    #[command(after_help = PULL_EXAMPLES)]
    Pull(PullImageArgs),
    /// Use an ext4 file system of this host as an image, where it is
    #[command(after_help = REGISTER_EXAMPLES)]
    Register(RegisterArgs),
    /// Give a registered image files of its own, with your key in its work-seed
    #[command(after_help = "Example:\n  banger image promote mine")]
    Promote {
        /// Image
        #[arg(add = ArgValueCandidates::new(completion::local_images))]
        name: ImageName,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Delete images that no VM was made from
    #[command(after_help = "Example:\n  banger image delete alpine-3.20 mine")]
    Delete {
        /// Images
        #[arg(value_name = "NAME", required = true, add = ArgValueCandidates::new(completion::local_images))]
        names: Vec<ImageName>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Make a file of an image, which others can pull with `--bundle`
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
    /// Look after what pulls from registries have kept to be used again
    #[command(subcommand, after_help = "Example:\n  banger image cache prune --dry-run")]
    Cache(CacheCommand),
    /// Show everything about an image: its files, what it runs, who uses it
    #[command(after_help = "Example:\n  banger image show debian-bookworm")]
    Show {
        /// Image
        #[arg(add = ArgValueCandidates::new(completion::images))]
        name: ImageName,
        #[command(flatten)]
        json: JsonArgs,
    },
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
    /// Refuse an image that unpacks to more [default: 64G]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteCount>,
    #[command(flatten)]
    pub(crate) pull: PullArgs,
}

const REGISTER_EXAMPLES: &str = "Examples:
  banger image register --name mine --rootfs ./root.ext4 --kernel-ref debian-12
  banger image register --name mine --rootfs ./root.ext4 --kernel ./vmlinux --modules ./lib/modules/6.12.9

The files stay where they are, and VMs of the image need them there, unchanged, until it is promoted.";

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Name of the image
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: ImageName,
    /// The root of its VMs: a file with an ext4 file system
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) rootfs: PathBuf,
    /// What /root of a new VM starts with: a file with an ext4 file system [default: /root of the root]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) work_seed: Option<PathBuf>,
    /// Kernel for its VMs, by name
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, required_unless_present = "kernel",
        conflicts_with_all = ["kernel", "initrd", "modules"], add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel_ref: Option<KernelName>,
    /// Kernel for its VMs: vmlinux or vmlinuz, imported under the image's name
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) kernel: Option<PathBuf>,
    /// That kernel's initramfs; it is not used, because banger makes its own
    #[arg(long, value_name = "FILE", requires = "kernel", value_hint = clap::ValueHint::FilePath)]
    pub(crate) initrd: Option<PathBuf>,
    /// That kernel's modules, as in lib/modules/RELEASE
    #[arg(long, value_name = "DIRECTORY", requires = "kernel", value_hint = clap::ValueHint::DirPath)]
    pub(crate) modules: Option<PathBuf>,
    /// Replace the image that has this name, unless VMs use it
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
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
