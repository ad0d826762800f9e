//! Paths where the source of an image is expected: refused with the prefix that reads them, before a registry is asked for
//! something of that name.

use std::path::Path;

use crate::error::{CliError, Kind};

/// How the names of archives end.
const ARCHIVE_SUFFIXES: [&str; 7] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".oci"];
/// How the names of bundles end unless somebody chooses another name.
const BUNDLE_SUFFIX: &str = ".tar.zst";

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    File,
    Directory,
    Nothing,
}

/// Why a path is not the source of an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourcePathError {
    #[error("`-` is standard input, and its prefix is missing, which says what comes")]
    Stream,
    #[error("`{0}` is a file, and its prefix is missing, which says how to read it")]
    File(String),
    #[error("`{0}` is a directory, and its prefix is missing, which says how to read it")]
    Directory(String),
    #[error("`{0}` is not a valid image reference, and there is no such file")]
    Nothing(String),
}

impl From<SourcePathError> for CliError {
    fn from(error: SourcePathError) -> Self {
        let hint = match &error {
            SourcePathError::Stream => {
                Some("docker save app | banger image pull docker-archive:-".to_owned())
            }
            SourcePathError::File(text) if text.ends_with(BUNDLE_SUFFIX) => Some(format!(
                "banger image pull --bundle {text}; if `docker save` has written it: banger image pull docker-archive:{text}"
            )),
            SourcePathError::File(text) => Some(format!("banger image pull docker-archive:{text}")),
            SourcePathError::Directory(text) => Some(format!("banger image pull oci:{text}")),
            SourcePathError::Nothing(_) => None,
        };
        Self::new(Kind::Usage, error).with_hint(hint)
    }
}

/// Refuses a path without a prefix.
pub(crate) fn refuse(source: &str) -> Result<(), SourcePathError> {
    check(source, |path| match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Found::Directory,
        Ok(_) => Found::File,
        Err(_) => Found::Nothing,
    })
}

/// Tells whether a word has the form of an archive's name.
pub(crate) fn is_archive_name(text: &str) -> bool {
    ARCHIVE_SUFFIXES.iter().any(|suffix| text.len() > suffix.len() && text.ends_with(suffix))
}

fn check(source: &str, look: impl Fn(&Path) -> Found) -> Result<(), SourcePathError> {
    if source == "-" {
        return Err(SourcePathError::Stream);
    }
    // A name of a registry's image never begins so.
    let is_path = source.starts_with(['.', '/', '~']);
    // `alpine` may also be the name of a file that has nothing to do with it.
    if !is_path && !is_archive_name(source) {
        return Ok(());
    }
    let text = if is_path { source.to_owned() } else { format!("./{source}") };
    match look(Path::new(source)) {
        Found::File => Err(SourcePathError::File(text)),
        Found::Directory => Err(SourcePathError::Directory(text)),
        Found::Nothing if is_path => Err(SourcePathError::Nothing(text)),
        Found::Nothing => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_refused_with_its_prefix_and_names_of_images_are_left_alone() {
        let look = |path: &Path| match path.to_str().unwrap() {
            "./app.tar" | "app.tar" | "alpine" | "/srv/dev.tar.zst" => Found::File,
            "./layout" => Found::Directory,
            _ => Found::Nothing,
        };
        let told = |source: &str| match check(source, look) {
            Ok(()) => "-".to_owned(),
            Err(error) => {
                let error = CliError::from(error);
                format!("{error} | {}", error.hint().unwrap_or("-"))
            }
        };
        let sources = ["./app.tar", "app.tar", "/srv/dev.tar.zst", "./layout", "./nope", "-"];
        let lines = sources.map(told).join("\n");
        insta::assert_snapshot!(lines, @r"
        `./app.tar` is a file, and its prefix is missing, which says how to read it | banger image pull docker-archive:./app.tar
        `./app.tar` is a file, and its prefix is missing, which says how to read it | banger image pull docker-archive:./app.tar
        `/srv/dev.tar.zst` is a file, and its prefix is missing, which says how to read it | banger image pull --bundle /srv/dev.tar.zst; if `docker save` has written it: banger image pull docker-archive:/srv/dev.tar.zst
        `./layout` is a directory, and its prefix is missing, which says how to read it | banger image pull oci:./layout
        `./nope` is not a valid image reference, and there is no such file | -
        `-` is standard input, and its prefix is missing, which says what comes | docker save app | banger image pull docker-archive:-
        ");
        for source in ["alpine", "other.tar", "ghcr.io/a/b", "docker-archive:./app.tar", "oci:./layout"] {
            assert_eq!(told(source), "-", "{source}");
        }
    }
}
