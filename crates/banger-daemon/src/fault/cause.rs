//! An error with its causes in one line: drawn once, at the edge.

use std::error::Error;

/// Draws an error with its causes: `a: b: c`. A cause that the text before it tells already is left out.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
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
}
