//! Words as they can be typed again.

use std::ffi::OsString;

/// Returns the words if no shell needs quotes around any of them.
pub(crate) fn plain(words: &[OsString]) -> Option<Vec<&str>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let is_word = |text: &&str| !text.is_empty() && text.chars().all(is_plain);
    words.iter().map(|word| word.to_str().filter(is_word)).collect()
}

/// Returns one line that a shell splits into these words again.
pub(crate) fn quoted(words: &[String]) -> String {
    let quoted = |word: &String| match plain(&[OsString::from(word)]) {
        Some(_) => word.clone(),
        None => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let words = ["sh", "-c", "exit 3", "", "it's"].map(str::to_owned);
        assert_eq!(quoted(&words), r"sh -c 'exit 3' '' 'it'\''s'");
    }
}
