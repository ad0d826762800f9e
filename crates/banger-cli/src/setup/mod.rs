//! `setup`: programs that banger uses and the host's packages do not have. They are installed below the state directory,
//! for this user alone, and never without their digest.

mod archive;
mod catalog;
mod fetch;
mod install;
#[cfg(test)]
mod test_release;

use std::path::PathBuf;

use banger_fetch::FetchError;
use banger_sys::paths::Paths;
use clap::{Args, Subcommand};

use crate::error::CliError;
use crate::interruption::undone;
use crate::render::print;
use crate::signals::Signals;

pub(crate) use archive::ArchiveError;
pub(crate) use catalog::CatalogError;
pub(crate) use fetch::DownloadError;
pub(crate) use install::InstallError;

use catalog::Catalog;
use install::{Origin, install};

/// What can be set up.
#[derive(Debug, Subcommand)]
pub(crate) enum SetupCommand {
    /// Install Firecracker, the preferred VMM
    #[command(after_help = "Examples:
  banger setup firecracker
  banger setup firecracker --from firecracker-v1.16.1-x86_64.tgz   from a local file")]
    Firecracker(FirecrackerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FirecrackerArgs {
    /// Install from this archive of the release; its digest is checked
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Download the archive from this URL; its digest is checked
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    url: Option<String>,
    /// Release to install [default: the newest that banger was tested with]
    #[arg(long = "release", value_name = "VERSION")]
    version: Option<String>,
}

/// Why something could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Catalog(CatalogError),
    #[error(transparent)]
    Install(InstallError),
}

impl From<SetupError> for CliError {
    fn from(error: SetupError) -> Self {
        let hint = match &error {
            SetupError::Catalog(CatalogError::Version { .. }) => Some("banger setup firecracker".to_owned()),
            SetupError::Catalog(CatalogError::Damaged(_) | CatalogError::Architecture { .. }) => None,
            SetupError::Install(error) => hint_of_install(error),
        };
        Self::failed(error).with_hint(hint)
    }
}

fn hint_of_install(error: &InstallError) -> Option<String> {
    match error {
        InstallError::Download {
            source:
                DownloadError::Fetch(
                    FetchError::Address { .. } | FetchError::TooLarge { .. } | FetchError::Write { .. },
                )
                | DownloadError::Open { .. },
            ..
        } => None,
        InstallError::Download { url, source: DownloadError::Fetch(_) | DownloadError::TooSlow } => {
            let name = url.rsplit('/').next().unwrap_or_default();
            Some(format!("get the archive another way, then: banger setup firecracker --from {name}"))
        }
        InstallError::Archive(ArchiveError::OtherRelease { origin, found, wanted })
            if found.architecture == wanted.architecture =>
        {
            Some(format!("banger setup firecracker --release {} --from {origin}", found.version))
        }
        InstallError::Archive(
            ArchiveError::OtherRelease { wanted, .. } | ArchiveError::WrongDigest { wanted, .. },
        ) => Some(format!("the archive is published at {}", wanted.url)),
        InstallError::Archive(
            ArchiveError::Read { .. }
            | ArchiveError::TooLarge { .. }
            | ArchiveError::Write { .. }
            | ArchiveError::NoProgram { .. }
            | ArchiveError::Unpack(_),
        )
        | InstallError::File(_)
        | InstallError::Lock { .. }
        | InstallError::NoTurn
        | InstallError::Sweep { .. }
        | InstallError::Temporary { .. }
        | InstallError::Receipt { .. }
        | InstallError::Switch { .. } => None,
    }
}

pub(crate) async fn run(paths: &Paths, command: SetupCommand) -> Result<(), CliError> {
    match command {
        SetupCommand::Firecracker(args) => {
            let mut signals = Signals::listen()?;
            let program = tokio::select! {
                program = firecracker(paths, args) => program?,
                stop = signals.next() => {
                    return Err(undone(stop));
                }
            };
            print(&format!("{}\n", program.display()))
        }
    }
}

/// Installs a release and returns its program.
async fn firecracker(paths: &Paths, args: FirecrackerArgs) -> Result<PathBuf, SetupError> {
    let catalog = Catalog::built_in().map_err(SetupError::Catalog)?;
    let release =
        catalog.find(args.version.as_deref(), std::env::consts::ARCH).map_err(SetupError::Catalog)?;
    let origin = match (args.from, args.url) {
        (Some(file), _) => Origin::File(file),
        (None, Some(url)) => Origin::Url(url),
        (None, None) => Origin::Catalog,
    };
    install(paths, &catalog, release, &origin).await.map_err(SetupError::Install)
}
