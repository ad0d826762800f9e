//! The commands under `kernel`.

use std::path::PathBuf;

use banger_model::{Distro, KernelName, Sha256};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::shared::{AvailableArgs, JsonArgs, PullArgs};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// List kernels
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  banger kernel list\n  banger kernel list --all --json"
    )]
    List(AvailableArgs),
    /// Show the details of a kernel
    #[command(visible_alias = "inspect", after_help = "Example:\n  banger kernel show debian-12")]
    Show {
        /// Kernel
        #[arg(add = ArgValueCandidates::new(completion::kernels))]
        name: KernelName,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Pull a kernel from the catalog
    #[command(after_help = "Example:\n  banger kernel pull debian-12")]
    Pull {
        /// Name in the catalog
        #[arg(add = ArgValueCandidates::new(completion::catalog_kernels))]
        name: KernelName,
        #[command(flatten)]
        pull: PullArgs,
    },
    /// Import a kernel from a package, a bundle, a directory or a root file system
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Delete kernels that no VM uses and no image needs
    #[command(visible_aliases = ["rm", "remove"], after_help = "Example:\n  banger kernel delete void-6.12.68_1")]
    Delete {
        /// Kernels
        #[arg(value_name = "NAME", required = true, add = ArgValueCandidates::new(completion::local_kernels))]
        names: Vec<KernelName>,
        /// Delete kernels that images need, too, and do not fail if a kernel does not exist
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// List the kernels of the catalog with their packages
    #[command(after_help = "Example:\n  banger kernel catalog --json")]
    Catalog(JsonArgs),
}

const IMPORT_EXAMPLES: &str = "Examples:
  banger kernel import --from linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb
  banger kernel import --from kernel.tar.zst --sha256 DIGEST --name mine
  banger kernel import --from ~/linux/out --name mine       vmlinux or vmlinuz, and modules/
  banger kernel import --distro void --from /srv/void       boot/vmlinuz-* and usr/lib/modules";

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Package (.deb), bundle (.tar.zst), directory with the kernel's files, or root file system
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) from: PathBuf,
    /// Import the kernel of this distribution; --from is its root file system
    #[arg(long, value_parser = distro())]
    pub(crate) distro: Option<Distro>,
    /// Kernel release, as `uname -r` prints it, if the root file system has several
    #[arg(long, requires = "distro")]
    pub(crate) release: Option<String>,
    /// Name of the kernel [default: DISTRIBUTION-RELEASE, or that of the file or directory]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: Option<KernelName>,
    /// Expected SHA-256 digest of the package or bundle
    #[arg(long, value_name = "DIGEST")]
    pub(crate) sha256: Option<Sha256>,
    /// Replace the kernel of this name
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

fn distro() -> impl clap::builder::TypedValueParser<Value = Distro> {
    PossibleValuesParser::new(Distro::ALL.map(Distro::as_str)).try_map(|text| text.parse::<Distro>())
}
