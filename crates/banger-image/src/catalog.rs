//! The images that can be had: compiled in, from `catalog/images/*.toml`, one file each.

use std::num::NonZeroU16;

use banger_model::{ImageName, KernelName, Sha256};
use serde::Deserialize;

use crate::bundle::{BundleLocation, MinisignKey};
use crate::image::{GuestFile, ImageFacts, Link, Recipe};
use crate::oci::Reference;

const CATALOG: &[(&str, &str)] =
    &[("debian-bookworm", include_str!("../catalog/images/debian-bookworm.toml"))];

/// An image that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its name.
    pub name: ImageName,
    /// One line for people.
    pub description: String,
    /// Whose system it is.
    pub distro: String,
    /// Architecture in the distribution's words.
    pub arch: String,
    /// The kernel its VMs boot where nobody names another.
    pub kernel: KernelName,
    /// How it is had.
    pub source: EntrySource,
}

impl ImageEntry {
    /// Returns what is known of an image that is built by a recipe before it is built.
    pub(crate) fn facts(&self, recipe: &Recipe) -> ImageFacts {
        ImageFacts {
            name: self.name.clone(),
            distro: self.distro.clone(),
            arch: self.arch.clone(),
            kernel: self.kernel.clone(),
            ready_ports: recipe.ready_ports.clone(),
            init: None,
            process: None,
            packages: recipe.packages.clone(),
            origin: format!("Debian {} packages", recipe.suite),
        }
    }
}

/// How an image of the catalog is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntrySource {
    /// Built from Debian packages.
    Debian(Box<Recipe>),
    /// A bundle, which must be this one.
    Bundle(BundleEntry),
    /// An image of a registry.
    Oci(Reference),
}

/// A bundle of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    /// Where it is.
    pub location: BundleLocation,
    /// What it is.
    pub sha256: Sha256,
    /// With whose key it is signed.
    pub key: Option<MinisignKey>,
}

#[derive(Deserialize)]
#[serde(tag = "source", rename_all = "lowercase")]
enum Row {
    Debian(Box<DebianRow>),
    Bundle(BundleRow),
    Oci(OciRow),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DebianRow {
    description: String,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleRow {
    description: String,
    distro: String,
    arch: String,
    kernel: KernelName,
    location: String,
    sha256: Sha256,
    minisign_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OciRow {
    description: String,
    distro: String,
    arch: String,
    kernel: KernelName,
    reference: String,
}

/// Returns every image that can be had.
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
    let name = name.parse()?;
    Ok(match toml::from_str(text)? {
        Row::Debian(row) => of_debian(name, *row),
        Row::Bundle(row) => ImageEntry {
            name,
            description: row.description,
            distro: row.distro,
            arch: row.arch,
            kernel: row.kernel,
            source: EntrySource::Bundle(BundleEntry {
                location: row.location.parse()?,
                sha256: row.sha256,
                key: row.minisign_key.map(|key| key.parse()).transpose()?,
            }),
        },
        Row::Oci(row) => ImageEntry {
            name,
            description: row.description,
            distro: row.distro,
            arch: row.arch,
            kernel: row.kernel,
            source: EntrySource::Oci(row.reference.parse()?),
        },
    })
}

fn of_debian(name: ImageName, row: DebianRow) -> ImageEntry {
    let recipe = Recipe {
        suite: row.suite,
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
    };
    ImageEntry {
        name,
        description: row.description,
        distro: "debian".to_owned(),
        arch: row.arch,
        kernel: row.kernel,
        source: EntrySource::Debian(Box::new(recipe)),
    }
}

/// Returns the recipe of the catalog's image of Debian packages.
#[cfg(test)]
pub(crate) fn debian_recipe() -> Recipe {
    let recipe = image_catalog().into_iter().find_map(|entry| match entry.source {
        EntrySource::Debian(recipe) => Some(*recipe),
        EntrySource::Bundle(_) | EntrySource::Oci(_) => None,
    });
    recipe.unwrap()
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
        for package in ["systemd-sysv", "openssh-server", "git", "curl", "jq", "gcc", "make", "iproute2"] {
            assert!(debian_recipe().packages.iter().any(|known| known == package), "{package}");
        }
    }

    #[test]
    fn no_recipe_has_a_path_that_starts_at_the_hosts_root() {
        let recipe = debian_recipe();
        let paths = recipe.files.iter().map(|file| &file.path).chain(recipe.links.iter().map(|l| &l.path));
        for path in paths.chain(&recipe.left_out) {
            assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
        }
    }

    const BUNDLE: &str = "source = 'bundle'\ndescription = 'A bundle'\ndistro = 'debian'\narch = 'amd64'\n\
        kernel = 'debian-12'\nlocation = 'https://example.org/dev.tar.zst'\n\
        sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'\n";
    const OCI: &str = "source = 'oci'\ndescription = 'Alpine'\ndistro = 'alpine'\narch = 'x86_64'\n\
        kernel = 'debian-12'\nreference = 'docker.io/library/alpine:3.22'\n";

    #[test]
    fn a_bundle_and_an_image_of_a_registry_can_be_entries() {
        let bundle = parse("dev", BUNDLE).unwrap();
        let EntrySource::Bundle(source) = bundle.source else { panic!("a bundle") };
        assert_eq!(source.location.to_string(), "https://example.org/dev.tar.zst");
        let oci = parse("alpine", OCI).unwrap();
        assert!(matches!(oci.source, EntrySource::Oci(_)));
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_refused() {
        for text in [
            BUNDLE.replace("https", "http"),
            BUNDLE.replace("ba78", "xx78"),
            BUNDLE.replace("sha256", "md5"),
            format!("{BUNDLE}minisign_key = 'no key'\n"),
            format!("{BUNDLE}packages = []\n"),
            OCI.replace("alpine:3.22", "alpine:"),
            OCI.replace("'oci'", "'floppy'"),
        ] {
            assert!(parse("dev", &text).is_err(), "{text}");
        }
    }
}
