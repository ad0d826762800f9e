//! Enums that users and programs know by words: one table per enum, from which everything else follows.

/// Gives an enum its words: `ALL`, `WORDS`, `as_str` and `from_word`, and with `as "a valid …"` also `FromStr`, whose error
/// lists the words. The order of the table is the order in which users see them. A variant without a word does not compile.
macro_rules! words {
    ($kind:ident as $what:literal { $($variant:ident = $word:literal),+ $(,)? }) => {
        $crate::words::words! { $kind { $($variant = $word),+ } }

        impl std::str::FromStr for $kind {
            type Err = $crate::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::UnknownWord> {
                Self::from_word(text).ok_or_else(|| $crate::UnknownWord::new(text, $what, Self::WORDS))
            }
        }
    };
    ($kind:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $kind {
            /// All of them, in the order in which they are listed.
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$variant),+];

            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the word for it, which is the same wherever it is typed, stored or sent.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Returns what has exactly this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use words;

/// As many words as a sentence lists with an `or`.
const IN_SENTENCE_MAX: usize = 4;

/// The text is none of the words that are allowed in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}; use {}", choice(words))]
pub struct UnknownWord {
    /// The rejected text.
    pub text: String,
    /// What the words name, with its article, as in `a valid VMM`.
    pub what: &'static str,
    /// The words.
    pub words: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) fn new(text: &str, what: &'static str, words: &'static [&'static str]) -> Self {
        Self { text: text.to_owned(), what, words }
    }
}

fn choice(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, others)) if !others.is_empty() && words.len() <= IN_SENTENCE_MAX => {
            format!("{} or {last}", others.join(", "))
        }
        Some(_) | None => format!("one of: {}", words.join(", ")),
    }
}
