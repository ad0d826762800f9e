//! Words as they can be typed again.

use std::ffi::OsString;

/// Returns the words if no shell needs quotes around any of them.
pub(crate) fn plain(words: &[OsString]) -> Option<Vec<&str>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let is_word = |text: &&str| !text.is_empty() && text.chars().all(is_plain);
    words.iter().map(|word| word.to_str().filter(is_word)).collect()
}
