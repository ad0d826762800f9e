//! Limits for texts of a guest's agent, because they end up in errors, events and the VM's row.

/// Maximum length of a sentence in bytes.
const SENTENCE_BYTES_MAX: usize = 1024;
/// Maximum number of sentences of one kind.
pub(crate) const SENTENCES_MAX: usize = 32;

/// Cuts a sentence to the maximum length.
pub(crate) fn sentence(mut text: String) -> String {
    if text.len() > SENTENCE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SENTENCE_BYTES_MAX));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Cuts sentences to the maximum length, and drops those beyond the maximum number.
pub(crate) fn sentences(all: Vec<String>) -> Vec<String> {
    all.into_iter().take(SENTENCES_MAX).map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_read_is_cut() {
        assert_eq!(sentence("x".repeat(1024)), "x".repeat(1024));
        assert_eq!(sentence("x".repeat(15_000)), format!("{}…", "x".repeat(1024)));
        assert_eq!(sentence("ä".repeat(600)).chars().count(), 513);
        assert_eq!(sentence(format!("x{}", "ä".repeat(600))).chars().count(), 513);
        assert_eq!(sentences(vec!["x".repeat(2000); 1000]).len(), SENTENCES_MAX);
    }
}
