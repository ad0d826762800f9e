//! The host's own package client: which package is the newest, and the package itself. It knows the mirrors, the
//! proxies and the keys, so nothing here does.

mod settings;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_model::Hint;
use banger_sys::exec::{Tool, ToolError};
use tokio::io::AsyncReadExt as _;

use crate::bounded::read_text;

pub(crate) use settings::carried_settings;
use sources::is_of_suite;
pub(crate) use sources::{SOURCES_BYTES_MAX, read_source_files, select_sources};

/// Where apt keeps what it knows of packages.
const LISTS: &str = "/var/lib/apt/lists";
/// Keys of Debian's archive, by the package that has them or by hand.
const KEYS: [&str; 2] = ["/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/trusted.gpg.d"];
/// The suite that the first kernel and the first image come from.
const FIRST_SUITE: &str = "bookworm";
/// What apt says about one package is shorter.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// No list and no package of a Debian archive is larger, nor is a file in one that an image needs.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 30;
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Why the host's package client gave no package.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum AptError {
    #[error("cannot query apt for the package `{package}`")]
    Ask { package: String, source: ToolError },
    #[error("apt does not know the package `{package}` of Debian `{suite}`")]
    UnknownPackage { package: String, suite: String },
    #[error("the package `{package}` depends on no kernel package")]
    NoDependency { package: String },
    #[error("cannot download the package `{package}`")]
    Download { package: String, source: ToolError },
    #[error("apt downloaded no package to `{}`", path.display())]
    NothingDownloaded { path: PathBuf },
}

impl AptError {
    /// What helps in most cases.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::UnknownPackage { suite, .. } => Some(Hint::advice(format!(
                "run `sudo apt-get update`; the host's apt needs Debian `{suite}` in its sources"
            ))),
            Self::Download { .. } => Some(Hint::on_host("sudo apt-get update")),
            Self::Ask { .. } | Self::NoDependency { .. } | Self::NothingDownloaded { .. } => None,
        }
    }
}

/// Whether this host's apt can give the first kernel and image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageSources {
    /// The suite that they come from.
    pub suite: &'static str,
    /// Has apt a source of it?
    pub has_suite: bool,
    /// Has apt fetched any lists of packages?
    pub has_lists: bool,
    /// Are there keys to check them by?
    pub has_keys: bool,
}

impl PackageSources {
    /// Looks at this host.
    #[must_use]
    pub fn look() -> Self {
        let names = |directory: &str| fs::read_dir(directory).into_iter().flatten().flatten();
        let mirrors = |path: &str| read_text(Path::new(path), SOURCES_BYTES_MAX).ok();
        let has_keys = KEYS.iter().any(|path| Path::new(path).is_file() || names(path).next().is_some());
        Self {
            suite: FIRST_SUITE,
            has_suite: select_sources(&read_source_files(), FIRST_SUITE, mirrors).is_some(),
            has_lists: names(LISTS).any(|entry| entry.file_name().to_string_lossy().contains("_Packages")),
            has_keys,
        }
    }
}

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// Size of the download, where apt tells.
    pub(crate) size: Option<u64>,
}

impl Package {
    fn selector(&self) -> String {
        match &self.version {
            Some(version) => format!("{}={version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Returns the package that the newest version of `meta` in this suite depends on and that starts with `prefix`.
pub(crate) async fn newest_dependency(meta: &str, suite: &str, prefix: &str) -> Result<Package, AptError> {
    let ask = |source| AptError::Ask { package: meta.to_owned(), source };
    let versions = apt_cache(&["madison", meta]).await.map_err(ask)?;
    let version = newest_version(&versions, suite)
        .ok_or_else(|| AptError::UnknownPackage { package: meta.to_owned(), suite: suite.to_owned() })?;
    let record =
        apt_cache(&["show", "--no-all-versions", &format!("{meta}={version}")]).await.map_err(ask)?;
    let mut package = find_dependency(&record, prefix)
        .ok_or_else(|| AptError::NoDependency { package: meta.to_owned() })?;
    let record = apt_cache(&["show", "--no-all-versions", &package.selector()]).await.map_err(ask)?;
    package.size = field(&record, "Size").and_then(|size| size.parse().ok());
    Ok(package)
}

/// Downloads the package into an empty directory and returns its file.
pub(crate) async fn download(package: &Package, directory: &Path) -> Result<PathBuf, AptError> {
    Tool::new("apt-get")
        .args(["-q", "-o", "Debug::NoLocking=1", "-o", "Acquire::Retries=3"])
        // The directory is closed to other users, also to apt's own.
        .args(["-o", "APT::Sandbox::User=root", "download", &package.selector()])
        .current_dir(directory)
        .deadline(DOWNLOAD_DEADLINE)
        .file_bytes_max(FILE_BYTES_MAX)
        .run()
        .await
        .map_err(|source| AptError::Download { package: package.name.clone(), source })?;
    let files = fs::read_dir(directory).ok().into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .into_iter()
        .find(|path| path.extension().is_some_and(|suffix| suffix == "deb"))
        .ok_or_else(|| AptError::NothingDownloaded { path: directory.to_owned() })
}

async fn apt_cache(arguments: &[&str]) -> Result<String, ToolError> {
    let output = Tool::new("apt-cache").args(arguments).run_with(async |stdout| {
        let mut output = Vec::new();
        stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut output).await?;
        Ok(output)
    });
    let output = output.await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Finds the newest version in `apt-cache madison`'s table, whose rows are newest first.
fn newest_version(table: &str, suite: &str) -> Option<String> {
    table.lines().find_map(|row| {
        let mut columns = row.split('|').map(str::trim);
        let (version, origin) = (columns.nth(1)?, columns.next()?);
        let (release, _) = origin.split_whitespace().nth(1)?.split_once('/')?;
        (is_of_suite(release, suite) && origin.ends_with("Packages")).then(|| version.to_owned())
    })
}

fn find_dependency(record: &str, prefix: &str) -> Option<Package> {
    field(record, "Depends")?.split(',').map(str::trim).filter(|word| word.starts_with(prefix)).find_map(
        |text| {
            let alternative = text.split('|').next()?;
            let (name, rest) = alternative.split_once(' ').unwrap_or((alternative, ""));
            let version = rest
                .trim()
                .strip_prefix("(=")
                .and_then(|rest| rest.strip_suffix(')'))
                .map(|v| v.trim().to_owned());
            Some(Package { name: name.to_owned(), version, size: None })
        },
    )
}

fn field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
linux-image-cloud-amd64 | 6.12.9-1~bpo12+1 | http://mirror.test/debian bookworm-backports/main amd64 Packages
linux-image-cloud-amd64 |  6.1.192-2 | http://mirror.test/security bookworm-security/main amd64 Packages
linux-image-cloud-amd64 |  6.1.176-1 | http://mirror.test/debian bookworm/main amd64 Packages
";

    #[test]
    fn the_newest_version_of_the_suite_is_taken_and_no_backport() {
        assert_eq!(newest_version(TABLE, "bookworm").as_deref(), Some("6.1.192-2"));
        assert_eq!(newest_version(TABLE, "trixie"), None);
        assert_eq!(newest_version("", "bookworm"), None);
    }

    #[test]
    fn the_kernel_package_is_found_with_its_version() {
        let record = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
                      Depends: linux-base (>= 4.3), linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n";
        let package = find_dependency(record, "linux-image-").unwrap();
        assert_eq!(package.selector(), "linux-image-6.1.0-56-cloud-amd64=6.1.192-2");
        assert_eq!(find_dependency("Package: x\nDepends: linux-base\n", "linux-image-"), None);
    }
}
