//! Texts that come from a registry and are shown on a terminal.

/// Returns a text as one line without control characters, cut after so many characters: what a stranger sends must not
/// move the cursor.
#[must_use]
pub fn plain(text: &str, characters_max: usize) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_moves_no_cursor() {
        assert_eq!(plain("a\x1b[2J\r\n  b\tc", 80), "a [2J b c");
        assert_eq!(plain("äöü", 2), "äö…");
    }
}
