//! An error with its causes in one line: drawn once, at the edge.

use std::error::Error;
use std::io;

use banger_sys::full_disk::is_disk_full;

/// Draws an error with its causes: `a: b: c`. A cause that the text before it tells already is left out, and so is one
/// between two others that only says again which file it was.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut last_told = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = words(cause);
        source = cause.source();
        let says_file_again =
            source.is_some() && file(&cause_text).is_some_and(|path| file(&last_told) == Some(path));
        if !says_file_again && !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
            last_told = cause_text;
        }
    }
    text
}

fn words(cause: &(dyn Error + 'static)) -> String {
    match cause.downcast_ref::<io::Error>() {
        Some(error) if is_disk_full(error) => "the disk is full".to_owned(),
        Some(_) | None => cause.to_string(),
    }
}

/// Returns the absolute path in backticks with which a text ends.
fn file(text: &str) -> Option<&str> {
    let (_, path) = text.strip_suffix('`')?.rsplit_once('`')?;
    path.starts_with('/').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn link(text: &'static str, source: Option<Link>) -> Link {
        Link { text, source: source.map(Box::new) }
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = link("cannot start", Some(link("no disk: full", Some(link("full", None)))));
        assert_eq!(chain(&error), "cannot start: no disk: full");
    }

    #[test]
    fn a_file_is_named_once() {
        let write = |path| Some(link(path, Some(link("full", None))));
        let error = link("cannot create `/d`", write("cannot write `/d`"));
        assert_eq!(chain(&error), "cannot create `/d`: full");
        let error = link("cannot start", Some(link("cannot prepare `/d`", write("cannot write `/d`"))));
        assert_eq!(chain(&error), "cannot start: cannot prepare `/d`: full");
        let error = link("cannot create `/d`", write("cannot write `/e`"));
        assert_eq!(chain(&error), "cannot create `/d`: cannot write `/e`: full");
        let error = link("cannot create `/d`", Some(link("cannot write `/d`", None)));
        assert_eq!(chain(&error), "cannot create `/d`: cannot write `/d`");
    }

    #[test]
    fn a_full_disk_is_called_so() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write `/d`")]
        struct Write(#[source] io::Error);
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(chain(&Write(kind.into())), "cannot write `/d`: the disk is full");
        }
    }
}
