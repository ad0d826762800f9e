//! The commands under `kernel`.

use std::path::PathBuf;

use banger_model::{Distro, KernelName, Sha256};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::{JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// List the kernels that are here
    #[command(after_help = "Examples:\n  banger kernel list\n  banger kernel list --available --json")]
    List {
        /// Those too that can be pulled
        #[arg(long)]
        available: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Show everything about a kernel: its files, where it comes from, who uses it
    #[command(after_help = "Example:\n  banger kernel show debian-12")]
    Show {
        /// Kernel
        #[arg(add = ArgValueCandidates::new(completion::kernels))]
        name: KernelName,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Get a kernel of the catalog
    #[command(after_help = "Example:\n  banger kernel pull debian-12")]
    Pull {
        /// Name in the catalog
        #[arg(add = ArgValueCandidates::new(completion::catalog_kernels))]
        name: KernelName,
        #[command(flatten)]
        pull: PullArgs,
    },
    /// Make a kernel out of a package, a bundle, a directory, or a distribution's root file system
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Remove kernels that no VM uses
    #[command(after_help = "Example:\n  banger kernel rm void-6.12.68_1")]
    Rm {
        /// Kernels
        #[arg(value_name = "NAME", required = true, add = ArgValueCandidates::new(completion::local_kernels))]
        names: Vec<KernelName>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// List the kernels that can be pulled, and what they are made of
    #[command(after_help = "Example:\n  banger kernel catalog --json")]
    Catalog(JsonArgs),
}

const IMPORT_EXAMPLES: &str = "Examples:
  banger kernel import --from linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb
  banger kernel import --from kernel.tar.zst --sha256 3b1f... --name mine
  banger kernel import --from ~/linux/out --name mine       vmlinux or vmlinuz, and modules/
  banger kernel import --distro void --from /srv/void       boot/vmlinuz-* and usr/lib/modules

Without --name it is called <distribution>-<release>, or as the file or directory is.";

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Package (.deb), bundle (.tar.zst), directory with the kernel's parts, or root of a file system
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) from: PathBuf,
    /// Take the kernel that this distribution has in its root file system: debian, void or alpine
    #[arg(long, value_parser = distro())]
    pub(crate) distro: Option<Distro>,
    /// Release of the kernel, as `uname -r` prints it, where the root has several
    #[arg(long, requires = "distro")]
    pub(crate) release: Option<String>,
    /// Name of the kernel [default: made of what it is]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: Option<KernelName>,
    /// Refuse a package or bundle with another sha256
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<Sha256>,
    /// Replace the kernel that has this name
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

fn distro() -> impl clap::builder::TypedValueParser<Value = Distro> {
    PossibleValuesParser::new(Distro::ALL.map(Distro::as_str)).try_map(|text| text.parse::<Distro>())
}
