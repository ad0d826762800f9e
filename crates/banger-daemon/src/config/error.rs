//! Why a configuration cannot be used, in the words of its file.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ConfigError {
    #[error("cannot read the configuration `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration `{}` is invalid{}", path.display(), .source.place())]
    Parse { path: PathBuf, source: ConfigCause },
}

/// What is wrong with a configuration, in one line.
#[derive(Debug)]
pub struct ConfigCause {
    /// Number and content of the line.
    line: Option<(usize, String)>,
    message: String,
}

impl ConfigCause {
    pub(super) fn of(error: &toml::de::Error, text: &str) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| {
            let index = before.matches('\n').count();
            (index + 1, text.lines().nth(index).unwrap_or_default().trim().to_owned())
        });
        Self { line, message: in_words(&error.message().replace('\n', ", ")) }
    }

    fn place(&self) -> String {
        let told = self.line.as_ref().map(|(number, content)| format!(" in line {number} (`{content}`)"));
        told.unwrap_or_default()
    }
}

/// Names of types in the words of the file, by serde's.
const KINDS: [(&str, &str); 11] = [
    ("map", "a table"),
    ("sequence", "a list"),
    ("a sequence", "a list"),
    ("string", "a string"),
    ("a boolean", "true or false"),
    ("usize", "a whole number"),
    ("u32", "a whole number"),
    ("u64", "a whole number"),
    ("i64", "a whole number"),
    ("a nonzero u16", "a port from 1 to 65535"),
    ("a nonzero u64", "a whole number above 0"),
];

/// Says in the words of the file what serde says in those of Rust.
fn in_words(message: &str) -> String {
    let after = |prefix: &str| message.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((field, known)) = after("unknown field ") {
        return format!("unknown key {field}; known keys: {}", known.trim_start_matches("one of "));
    }
    if let Some((value, known)) = after("unknown variant ") {
        return format!("{value} is not a valid value; use one of: {}", known.trim_start_matches("one of "));
    }
    if let Some((found, wanted)) = after("invalid type: ").or_else(|| after("invalid value: ")) {
        return format!("expected {}, found {}", kind(wanted), kind(found));
    }
    // toml's words where an enum is read from what is neither a string nor a table.
    if message == "wanted string or table" {
        return "expected a string".to_owned();
    }
    message.to_owned()
}

fn kind(word: &str) -> String {
    let word = if word.starts_with("struct ") { "map" } else { word };
    KINDS.iter().find(|(serde, _)| *serde == word).map_or(word, |(_, ours)| ours).to_owned()
}

impl fmt::Display for ConfigCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigCause {}
