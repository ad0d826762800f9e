//! The releases of Firecracker that can be installed, with the digests that they must have.

use serde::Deserialize;

const TEXT: &str = include_str!("../../catalog/firecracker.toml");

/// A release for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    pub(super) version: String,
    /// As in the archive's name: `x86_64`.
    pub(super) architecture: String,
    /// Where its archive is published.
    pub(super) url: String,
    /// SHA-256 of the archive, in hexadecimal.
    pub(super) sha256: String,
}

/// What can be installed, the best first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalog {
    #[serde(rename = "release")]
    pub(super) releases: Vec<Release>,
}

/// Why there is no such release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("the catalog that is part of this program is damaged")]
    Damaged(#[source] toml::de::Error),
    #[error("there is no Firecracker for {architecture}")]
    Architecture { architecture: String },
    #[error("Firecracker {version} is not in the catalog; it has {}", .known.join(", "))]
    Version { version: String, known: Vec<String> },
}

impl Catalog {
    /// The catalog of this version of banger.
    pub(super) fn built_in() -> Result<Self, CatalogError> {
        toml::from_str(TEXT).map_err(CatalogError::Damaged)
    }

    /// Returns a release; the one that banger was tried with when none is named.
    pub(super) fn find(&self, version: Option<&str>, architecture: &str) -> Result<&Release, CatalogError> {
        let mut fitting =
            self.releases.iter().filter(|release| release.architecture == architecture).peekable();
        if fitting.peek().is_none() {
            return Err(CatalogError::Architecture { architecture: architecture.to_owned() });
        }
        let known = fitting.clone().map(|release| release.version.clone()).collect();
        let version = version.map(|version| version.trim_start_matches('v'));
        let found = fitting.find(|release| version.is_none_or(|version| release.version == version));
        let version = version.unwrap_or_default().to_owned();
        found.ok_or(CatalogError::Version { version, known })
    }

    /// Returns the release whose archive this is.
    pub(super) fn of_archive(&self, sha256: &str) -> Option<&Release> {
        self.releases.iter().find(|release| release.sha256 == sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_an_address_of_its_own_and_a_digest() {
        let releases = Catalog::built_in().unwrap().releases;
        for Release { version, architecture, url, sha256 } in &releases {
            let name = format!("v{version}/firecracker-v{version}-{architecture}.tgz");
            assert!(url.starts_with("https://") && url.ends_with(&name), "{url}");
            let is_digest =
                sha256.len() == 64 && sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            assert!(is_digest, "{sha256}");
        }
        let digests: std::collections::BTreeSet<_> = releases.iter().map(|release| &release.sha256).collect();
        assert_eq!(digests.len(), releases.len());
    }

    #[test]
    fn a_release_is_found_for_this_architecture_and_an_unknown_one_is_told_with_those_there_are() {
        let catalog = Catalog::built_in().unwrap();
        let found = |version, architecture| {
            let release = catalog.find(version, architecture)?;
            Ok::<_, CatalogError>(format!("{} {}", release.version, release.architecture))
        };
        assert_eq!(found(None, "x86_64").unwrap(), "1.16.1 x86_64");
        assert_eq!(found(Some("v1.15.1"), "aarch64").unwrap(), "1.15.1 aarch64");
        assert_eq!(
            found(Some("1.2.3"), "x86_64").unwrap_err().to_string(),
            "Firecracker 1.2.3 is not in the catalog; it has 1.16.1, 1.15.1"
        );
        assert_eq!(found(None, "riscv64").unwrap_err().to_string(), "there is no Firecracker for riscv64");
    }
}
