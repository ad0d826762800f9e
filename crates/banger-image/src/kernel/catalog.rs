//! The kernels that can be pulled: compiled in, from `catalog/kernels.toml`.

use std::collections::BTreeMap;

use banger_model::KernelName;
use serde::Deserialize;

const CATALOG: &str = include_str!("../../catalog/kernels.toml");

/// A kernel that can be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEntry {
    /// Its name.
    pub name: KernelName,
    /// Whose kernel it is.
    pub distro: String,
    /// Release of the distribution.
    pub suite: String,
    /// Architecture in the distribution's words.
    pub arch: String,
    /// Package that depends on the newest kernel package.
    pub package: String,
    /// One line for people.
    pub description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    distro: String,
    suite: String,
    arch: String,
    package: String,
    description: String,
}

/// Returns every kernel that can be pulled, by name.
///
/// # Panics
/// Never: the text is compiled in, and a test parses it.
#[must_use]
pub fn kernel_catalog() -> Vec<KernelEntry> {
    #[expect(clippy::expect_used, reason = "the text is compiled in, and a test parses it")]
    parse(CATALOG).expect("the kernel catalog is valid")
}

fn parse(text: &str) -> Result<Vec<KernelEntry>, toml::de::Error> {
    let rows: BTreeMap<KernelName, Row> = toml::from_str(text)?;
    let entry = |(name, row): (KernelName, Row)| KernelEntry {
        name,
        distro: row.distro,
        suite: row.suite,
        arch: row.arch,
        package: row.package,
        description: row.description,
    };
    Ok(rows.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_offers_debian_12() {
        let entries = parse(CATALOG).unwrap();
        let debian = entries.iter().find(|entry| entry.name.as_str() == "debian-12").unwrap();
        assert_eq!((debian.distro.as_str(), debian.suite.as_str()), ("debian", "bookworm"));
        assert_eq!(debian.package, "linux-image-cloud-amd64");
    }

    #[test]
    fn an_unknown_field_in_the_catalog_is_an_error() {
        assert!(
            parse("[a]\ndistro='d'\nsuite='s'\narch='a'\npackage='p'\ndescription=''\nurl='u'\n").is_err()
        );
    }
}
