//! The images that can be made: compiled in, from `catalog/images/*.toml`, one file each.

use std::num::NonZeroU16;

use banger_model::{ImageName, KernelName};
use serde::Deserialize;

const CATALOG: &[(&str, &str)] =
    &[("debian-bookworm", include_str!("../../catalog/images/debian-bookworm.toml"))];

/// An image that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its name.
    pub name: ImageName,
    /// One line for people.
    pub description: String,
    /// Whose system it is.
    pub distro: String,
    /// Release of the distribution.
    pub suite: String,
    /// Architecture in the distribution's words.
    pub arch: String,
    /// The kernel its VMs boot where nobody names another.
    pub kernel: KernelName,
    /// What it is made of.
    pub(crate) recipe: Recipe,
}

impl ImageEntry {
    /// The packages on top of the distribution's required ones.
    #[must_use]
    pub fn packages(&self) -> &[String] {
        &self.recipe.packages
    }
}

/// What an image is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) ready_ports: Vec<NonZeroU16>,
    pub(crate) packages: Vec<String>,
    pub(crate) dpkg_options: Vec<String>,
    pub(crate) excluded_paths: Vec<String>,
    pub(crate) included_paths: Vec<String>,
    pub(crate) left_out: Vec<String>,
    pub(crate) masked_units: Vec<String>,
    pub(crate) masked_generators: Vec<String>,
    pub(crate) links: Vec<Link>,
    pub(crate) files: Vec<GuestFile>,
}

/// A symbolic link of the image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) target: String,
}

/// A text file of the image, owned by root, 0644.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestFile {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    description: String,
    distro: String,
    suite: String,
    arch: String,
    kernel: KernelName,
    ready_ports: Vec<NonZeroU16>,
    packages: Vec<String>,
    dpkg_options: Vec<String>,
    excluded_paths: Vec<String>,
    included_paths: Vec<String>,
    left_out: Vec<String>,
    masked_units: Vec<String>,
    masked_generators: Vec<String>,
    links: Vec<Link>,
    files: Vec<GuestFile>,
}

/// Returns every image that can be made.
///
/// # Panics
/// Never: the text is compiled in, and a test parses it.
#[must_use]
pub fn image_catalog() -> Vec<ImageEntry> {
    let entry = |(name, text): &(&str, &str)| {
        #[expect(clippy::expect_used, reason = "the text is compiled in, and a test parses it")]
        parse(name, text).expect("the image catalog is valid")
    };
    CATALOG.iter().map(entry).collect()
}

fn parse(name: &str, text: &str) -> Result<ImageEntry, Box<dyn std::error::Error>> {
    let row: Row = toml::from_str(text)?;
    Ok(ImageEntry {
        name: name.parse()?,
        description: row.description,
        distro: row.distro,
        suite: row.suite,
        arch: row.arch,
        kernel: row.kernel,
        recipe: Recipe {
            ready_ports: row.ready_ports,
            packages: row.packages,
            dpkg_options: row.dpkg_options,
            excluded_paths: row.excluded_paths,
            included_paths: row.included_paths,
            left_out: row.left_out,
            masked_units: row.masked_units,
            masked_generators: row.masked_generators,
            links: row.links,
            files: row.files,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::kernel_catalog;

    #[test]
    fn every_entry_parses_and_names_a_kernel_of_the_catalog() {
        let kernels = kernel_catalog();
        for entry in image_catalog() {
            assert!(kernels.iter().any(|kernel| kernel.name == entry.kernel), "{}", entry.name);
        }
    }

    #[test]
    fn debian_brings_what_the_product_needs() {
        let entries = image_catalog();
        let debian = entries.iter().find(|entry| entry.name.as_str() == "debian-bookworm").unwrap();
        for package in ["systemd-sysv", "openssh-server", "git", "curl", "jq", "gcc", "make", "iproute2"] {
            assert!(debian.packages().iter().any(|known| known == package), "{package}");
        }
    }

    #[test]
    fn no_entry_has_a_path_that_starts_at_the_hosts_root() {
        for entry in image_catalog() {
            let recipe = entry.recipe;
            let paths =
                recipe.files.iter().map(|file| &file.path).chain(recipe.links.iter().map(|l| &l.path));
            for path in paths.chain(&recipe.left_out) {
                assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
            }
        }
    }
}
