//! Where an image comes from, as a user writes it: a reference, `oci:DIRECTORY[:TAG]`, `oci-archive:FILE[:TAG]`, or
//! `docker-archive:FILE[:NAME]`. A path of `-` is an archive on standard input.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use banger_model::{ImageName, NameError};

use super::reference::{Reference, ReferenceError};

const LAYOUT: &str = "oci:";
const LAYOUT_ARCHIVE: &str = "oci-archive:";
const ARCHIVE: &str = "docker-archive:";
const REGISTRY: &str = "docker://";
/// In the place of a path: the archive comes through the standard input of whoever asks.
pub(crate) const STANDARD_INPUT: &str = "-";
const NAME_LENGTH_MAX: usize = 63;

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OciSource {
    /// A registry.
    Registry(Reference),
    /// An image layout (OCI).
    Layout {
        /// A directory, or a tar of one.
        path: PathBuf,
        /// Which image of it; without one it has to be the only one.
        tag: Option<String>,
        /// Whether it was called a tar. What is there decides; this only says how it is written again.
        is_archive: bool,
    },
    /// A file that `docker save` has written.
    Archive {
        /// The file.
        file: PathBuf,
        /// Which image of it; without one it has to be the only one.
        name: Option<String>,
    },
}

/// Why a text names no source of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OciSourceError {
    /// It is no reference.
    #[error(transparent)]
    Reference(ReferenceError),
    /// Nothing follows the prefix.
    #[error("the path is missing in `{text}`")]
    NoPath {
        /// What was written.
        text: String,
    },
    /// A path is relative: the daemon has another working directory than its caller.
    #[error("the path in `{text}` is not absolute")]
    Path {
        /// What was written.
        text: String,
    },
}

impl OciSource {
    /// Returns the name of the local image where nobody gives another one.
    ///
    /// # Errors
    /// [`NameError`] when no name can be made of it.
    pub fn default_name(&self) -> Result<ImageName, NameError> {
        let text = match self {
            Self::Registry(reference) => reference.local_name(),
            Self::Layout { path, tag, .. } => {
                let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
                let stem = stem.unwrap_or_default().to_string_lossy();
                match tag.as_deref() {
                    None | Some("latest") => stem.into_owned(),
                    Some(tag) => format!("{stem}-{tag}"),
                }
            }
            Self::Archive { file, name } => {
                let named = name.as_deref().and_then(|name| name.parse::<Reference>().ok());
                match named {
                    Some(reference) => reference.local_name(),
                    None => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                }
            }
        };
        as_name(&text).parse()
    }

    /// Tells whether what it leads to may say what its image is called: a layout or an archive, unless one of its images
    /// was chosen by a whole name.
    #[must_use]
    pub fn may_name_its_image(&self) -> bool {
        match self {
            Self::Registry(_) => false,
            Self::Layout { .. } => true,
            Self::Archive { name, .. } => {
                name.as_deref().is_none_or(|name| name.parse::<Reference>().is_err())
            }
        }
    }

    /// Tells whether it is an archive that comes through standard input.
    #[must_use]
    pub fn is_standard_input(&self) -> bool {
        match self {
            Self::Registry(_) => false,
            Self::Layout { path, .. } | Self::Archive { file: path, .. } => path == Path::new(STANDARD_INPUT),
        }
    }

    /// Tells whether this text, an origin without its digest, means the same place: a layout in a tar is one by both of its
    /// names.
    pub(crate) fn is_place(&self, text: &str) -> bool {
        let plain = |text: &str| match text.strip_prefix(LAYOUT_ARCHIVE) {
            Some(rest) => format!("{LAYOUT}{rest}"),
            None => text.to_owned(),
        };
        plain(text) == plain(&self.to_string())
    }

    /// Tells whether this text is a path's source, whose path may be relative to its writer's directory.
    fn split(text: &str) -> Option<(&'static str, &str)> {
        [LAYOUT, LAYOUT_ARCHIVE, ARCHIVE]
            .into_iter()
            .find_map(|prefix| Some((prefix, text.strip_prefix(prefix)?)))
    }
}

impl FromStr for OciSource {
    type Err = OciSourceError;

    fn from_str(text: &str) -> Result<Self, OciSourceError> {
        let Some((prefix, rest)) = Self::split(text) else {
            let reference = text.strip_prefix(REGISTRY).unwrap_or(text);
            return reference.parse().map(Self::Registry).map_err(OciSourceError::Reference);
        };
        // A colon within a path is possible; one that is there as a whole is meant as a whole.
        let (path, name) = match rest.split_once(':') {
            Some((path, name))
                if !name.is_empty() && (path == STANDARD_INPUT || !Path::new(rest).exists()) =>
            {
                (path, Some(name.to_owned()))
            }
            Some(_) | None => (rest, None),
        };
        if path.is_empty() {
            return Err(OciSourceError::NoPath { text: text.to_owned() });
        }
        if !path.starts_with('/') && path != STANDARD_INPUT {
            return Err(OciSourceError::Path { text: text.to_owned() });
        }
        let path = PathBuf::from(path);
        Ok(match prefix {
            LAYOUT | LAYOUT_ARCHIVE => Self::Layout { path, tag: name, is_archive: prefix == LAYOUT_ARCHIVE },
            _ => Self::Archive { file: path, name },
        })
    }
}

impl fmt::Display for OciSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, path, name) = match self {
            Self::Registry(reference) => return reference.fmt(formatter),
            Self::Layout { path, tag, is_archive: false } => (LAYOUT, path, tag),
            Self::Layout { path, tag, is_archive: true } => (LAYOUT_ARCHIVE, path, tag),
            Self::Archive { file, name } => (ARCHIVE, file, name),
        };
        write!(formatter, "{prefix}{}", path.display())?;
        name.as_ref().map_or(Ok(()), |name| write!(formatter, ":{name}"))
    }
}

/// Returns the part of an image's origin that says where it came from, without the digest of what came.
pub(crate) fn place_of(origin: &str) -> &str {
    origin.split_once(" (sha256:").map_or(origin, |(place, _)| place)
}

/// Returns the reference by which an image with this origin was pulled from a registry; nothing for a file of some host.
#[must_use]
pub fn registry_reference(origin: &str) -> Option<&str> {
    let place = place_of(origin);
    // What came in another way has no digest.
    let is_reference = place != origin && matches!(place.parse(), Ok(OciSource::Registry(_)));
    is_reference.then_some(place)
}

/// Tells whether an image with this origin came from a registry.
pub(crate) fn is_of_registry(origin: &str) -> bool {
    registry_reference(origin).is_some()
}

/// Returns the name that a local image gets which is called so elsewhere: by the first of these names that is a whole one. A
/// tag alone, as layouts have it, does not say of what.
pub(super) fn local_name(names: &[String]) -> Option<ImageName> {
    let is_whole = |name: &&String| name.contains(['/', ':']);
    let mut references = names.iter().filter(is_whole).filter_map(|name| name.parse::<Reference>().ok());
    references.find_map(|reference| as_name(&reference.local_name()).parse().ok())
}

/// Makes a name of what is nearly one: names have only lower case, and no separator at an end.
fn as_name(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c) => c,
        _ => '-',
    };
    let name: String = text.chars().map(plain).take(NAME_LENGTH_MAX).collect();
    name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> OciSource {
        text.parse().unwrap()
    }

    fn name(text: &str) -> String {
        source(text).default_name().unwrap().into()
    }

    #[test]
    fn every_form_is_read_and_written_again() {
        for text in ["oci:/a/b", "oci:/a/b:v1", "docker-archive:/a/x.tar", "docker-archive:/a/x.tar:app:1"] {
            assert_eq!(source(text).to_string(), text);
        }
        for text in ["docker-archive:-", "oci-archive:-:v1", "oci:-", "docker-archive:-:app:1"] {
            assert!(source(text).is_standard_input(), "{text}");
            assert_eq!(source(text).to_string(), text);
        }
        assert!(source("oci-archive:/a.tar:v1").is_place("oci:/a.tar:v1"));
        assert!(!source("oci:/a.tar:v1").is_place("oci:/a.tar"));
        assert!(!source("docker-archive:/a.tar").is_place("oci:/a.tar"));
        assert!(!source("docker-archive:/-").is_standard_input());
        assert_eq!(source("docker://alpine"), source("docker.io/library/alpine:latest"));
        for text in ["oci:relative", "oci:", "docker-archive:x.tar", "Bad"] {
            assert!(text.parse::<OciSource>().is_err(), "{text}");
        }
        let error = "docker-archive:".parse::<OciSource>().unwrap_err();
        assert_eq!(error.to_string(), "the path is missing in `docker-archive:`");
    }

    #[test]
    fn names_elsewhere_make_a_name_here_and_a_tag_alone_makes_none() {
        let name = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            local_name(&names).map(|name| name.to_string())
        };
        assert_eq!(name(&["app:1", "app:latest"]).as_deref(), Some("app-1"));
        assert_eq!(name(&["v1", "docker.io/team/app:v1"]).as_deref(), Some("app-v1"));
        assert_eq!(name(&["<none>:<none>", "localhost:5000/app"]).as_deref(), Some("app"));
        assert_eq!((name(&["v1", "latest"]), name(&[])), (None, None));
    }

    #[test]
    fn a_local_name_is_made_of_every_form() {
        assert_eq!(name("debian:bookworm"), "debian-bookworm");
        assert_eq!(name("ghcr.io/a/app_1:V2.0-RC"), "app_1-v2.0-rc");
        assert_eq!(name("oci:/a/My Layout:v1"), "my-layout-v1");
        assert_eq!(name("docker-archive:/a/x.y.tar"), "x.y");
        assert_eq!(name("docker-archive:/a/x.tar:team/app:1"), "app-1");
        assert_eq!(name(&format!("x:{}", "t".repeat(120))).len(), 63);
        assert!(source("oci:/").default_name().is_err());
        assert!(source("docker-archive:-").default_name().is_err());
    }

    #[test]
    fn only_a_reference_is_the_origin_of_an_image_of_a_registry() {
        for (origin, expected) in [
            ("docker.io/library/alpine:3.20 (sha256:ab)", true),
            ("docker-archive:- (sha256:ab)", false),
            ("oci:/a:v1 (sha256:ab)", false),
            ("/srv/root.ext4", false),
            ("Debian bookworm packages", false),
        ] {
            assert_eq!(is_of_registry(origin), expected, "{origin}");
        }
    }

    #[test]
    fn only_a_registry_and_a_chosen_name_leave_an_archive_nothing_to_say() {
        for text in ["docker-archive:-", "docker-archive:/a.tar", "oci:/a", "oci:/a:v1", "oci-archive:/a.tar"]
        {
            assert!(source(text).may_name_its_image(), "{text}");
        }
        for text in ["alpine", "docker-archive:/a.tar:team/app:1", "docker-archive:-:app"] {
            assert!(!source(text).may_name_its_image(), "{text}");
        }
    }
}
