//! Names of images in registries, as docker users write them: `alpine`, `ghcr.io/owner/image:tag`,
//! `localhost:5000/app@sha256:…`. Source of the grammar and of the defaults: distribution/reference.

use std::fmt;
use std::str::FromStr;

use super::digest::{BlobDigest, DigestError};

/// Where an image is when its name has no registry.
const DEFAULT_REGISTRY: &str = "docker.io";
/// What the default registry calls images that belong to nobody.
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";
const TAG_LENGTH_MAX: usize = 128;
const NAME_LENGTH_MAX: usize = 255;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    /// Absent only where there is a digest.
    tag: Option<String>,
    digest: Option<BlobDigest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The part before the first slash is no host.
    #[error("`{text}` is not a valid image reference: `{registry}` is not a host name with an optional port")]
    Registry {
        /// What was written.
        text: String,
        /// The bad part.
        registry: String,
    },
    /// A part of the name has characters that are not allowed.
    #[error(
        "`{text}` is not a valid image reference: in `{part}`, use only a-z and 0-9, with single `.`, `_` or `-` between them"
    )]
    Name {
        /// What was written.
        text: String,
        /// The bad part.
        part: String,
    },
    /// The name is too long.
    #[error("`{text}` is not a valid image reference: its name is longer than 255 characters")]
    TooLong {
        /// The start of what was written.
        text: String,
    },
    /// The part after the colon is no tag.
    #[error(
        "`{text}` is not a valid image reference: in the tag `{tag}`, use at most 128 letters, digits, `.`, `_` and `-`"
    )]
    Tag {
        /// What was written.
        text: String,
        /// The bad part.
        tag: String,
    },
    /// The part after the `@` is no digest.
    #[error("`{text}` is not a valid image reference")]
    Digest {
        /// What was written.
        text: String,
        /// Why.
        source: DigestError,
    },
}

impl Reference {
    /// Host and port of the registry, as in `docker.io` or `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Name within the registry, as in `library/alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What the registry is asked for: the digest, else the tag.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag().to_owned(),
        }
    }

    /// The digest, where the image is named by one.
    #[must_use]
    pub fn digest(&self) -> Option<&BlobDigest> {
        self.digest.as_ref()
    }

    /// The tag, also where it does not count because of a digest.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// Returns what a local image is called that comes from here: the last part of the name, with the tag unless that is
    /// `latest`, or with the first digits of the digest.
    #[must_use]
    pub(crate) fn local_name(&self) -> String {
        let base = self.repository.rsplit('/').next().unwrap_or(&self.repository);
        match (&self.tag, &self.digest) {
            (Some(tag), _) if tag != DEFAULT_TAG => format!("{base}-{tag}"),
            (_, Some(digest)) => format!("{base}-{}", digest.short()),
            (_, None) => base.to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let text = text.to_owned();
                (named, Some(digest.parse().map_err(|source| ReferenceError::Digest { text, source })?))
            }
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            Some(_) | None => (named, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag { text: text.to_owned(), tag: tag.to_owned() });
        }
        if name.len() > NAME_LENGTH_MAX {
            return Err(ReferenceError::TooLong { text: text.chars().take(60).collect() });
        }
        let (registry, path) = split_registry(name);
        if !is_host(registry) {
            return Err(ReferenceError::Registry { text: text.to_owned(), registry: registry.to_owned() });
        }
        if let Some(part) = path.split('/').find(|part| !is_path_part(part)) {
            return Err(ReferenceError::Name { text: text.to_owned(), part: part.to_owned() });
        }
        let is_official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        let repository = if is_official { format!("{OFFICIAL}/{path}") } else { path.to_owned() };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (_, None) => write!(formatter, ":{}", self.tag()),
            (None, Some(digest)) => write!(formatter, "@{digest}"),
            (Some(tag), Some(digest)) => write!(formatter, ":{tag}@{digest}"),
        }
    }
}

/// The first part is a registry when it looks like a host and cannot be a part of a name.
fn split_registry(name: &str) -> (&str, &str) {
    let looks_like_host = |part: &str| {
        part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (DEFAULT_REGISTRY, path),
        Some((first, path)) if looks_like_host(first) => (first, path),
        Some(_) | None => (DEFAULT_REGISTRY, name),
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("six", port),
            Some(_) | None => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = match port.strip_prefix(':') {
        Some(number) => number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    is_port && host.split('.').all(is_label)
}

/// Letters and digits, with one dot, one or two underscores, or any number of hyphens between them.
fn is_path_part(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |text: &str| match text {
        "" | "." | "_" | "__" => true,
        text => text.bytes().all(|byte| byte == b'-'),
    };
    part.starts_with(is_plain) && part.ends_with(is_plain) && part.split(is_plain).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(is_word)
        && tag.len() <= TAG_LENGTH_MAX
        && tag.chars().all(|c| is_word(c) || ".-".contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parsed(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn short_names_mean_what_docker_means() {
        for (text, whole, local) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine"),
            ("debian:bookworm", "docker.io/library/debian:bookworm", "debian-bookworm"),
            ("owner/app:1.2", "docker.io/owner/app:1.2", "app-1.2"),
            ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine"),
            ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine"),
            ("ghcr.io/a/b/c-d__e", "ghcr.io/a/b/c-d__e:latest", "c-d__e"),
            ("localhost/x", "localhost/x:latest", "x"),
            ("localhost:5000/x:y", "localhost:5000/x:y", "x-y"),
            ("127.0.0.1:5000/team/x", "127.0.0.1:5000/team/x:latest", "x"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "x"),
            ("Registry.Example/x", "Registry.Example/x:latest", "x"),
        ] {
            let reference = parsed(text);
            assert_eq!((reference.to_string().as_str(), reference.local_name().as_str()), (whole, local));
        }
    }

    #[test]
    fn a_digest_counts_more_than_a_tag() {
        let reference = parsed(&format!("host:1/a/b:v1@{DIGEST}"));
        assert_eq!((reference.registry(), reference.repository()), ("host:1", "a/b"));
        assert_eq!((reference.target().as_str(), reference.tag()), (DIGEST, "v1"));
        assert_eq!(reference.local_name(), "b-v1");
        assert_eq!(parsed(&format!("b@{DIGEST}")).local_name(), "b-ba7816bf8f01");
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_part_that_is_wrong() {
        let refusal = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
        assert!(refusal("Alpine").contains("in `Alpine`, use only a-z"));
        assert!(refusal("alpine:").contains("the tag ``"));
        assert!(refusal("alpine:-x").contains("the tag `-x`"));
        assert!(refusal("alpine@sha256:12").contains("is not a valid image reference"));
        assert!(refusal("host:port/x").contains("`host:port` is not a host"));
        for text in [
            "",
            "/",
            "a//b",
            "a/../b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "host:99999/x",
            "a b",
            "a\n",
            "ho_st.x/y",
            "[::1/x",
            "user:secret@host/x",
            "https://host/x",
            "a.b/",
            "é",
            ":x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        assert!("x".repeat(256).parse::<Reference>().is_err());
        assert!(format!("x:{}", "t".repeat(129)).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_out_means_the_same(text in "[a-zA-Z0-9./:@_-]{1,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn a_repository_never_leaves_its_place_in_an_address(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let all = format!("{}{}", reference.repository(), reference.target());
                prop_assert!(!all.contains("..") || reference.tag().contains(".."));
                prop_assert!(!all.contains(['?', '#', '%', ' ', '\\']));
            }
        }
    }
}
