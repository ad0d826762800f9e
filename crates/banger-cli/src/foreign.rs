//! Text that somebody else wrote — a guest, a registry, an image, a file's name — made fit for a terminal: what would
//! command it, turn its writing around or hide something is shown as an escape, as in `\x1b` or `\u{202e}`. Everything
//! in `render` passes through here, so that no caller has to remember it. JSON keeps its values: there such characters
//! become JSON's own escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Stands for what was cut off.
const ELLIPSIS: char = '…';

/// Returns one line of text, of at most so many characters, safe to show; line breaks are shown as escapes, too.
pub(crate) fn line(text: &str, chars_max: usize) -> Cow<'_, str> {
    match cut(text, chars_max) {
        Cow::Borrowed(text) => escaped(text, |_| false),
        Cow::Owned(text) => Cow::Owned(escaped(&text, |_| false).into_owned()),
    }
}

/// Returns text of any length that is safe to show and keeps its line breaks: for layout that is ours.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character == '\n')
}

/// Returns JSON of the same value that is safe to show. Between its values JSON has none of these characters.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        // Control characters before the space are no part of JSON's strings, but of its layout.
        if character < ' ' || !is_foul(character) {
            safe.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    Cow::Owned(safe)
}

/// Tells whether a character does something to a terminal or to what is read on it, instead of being read itself.
pub(crate) fn is_foul(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Soft hyphen, joiners and fillers that show nothing.
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{3164}' | '\u{ffa0}' | '\u{feff}' | '\u{2800}'
            // Directions, and what is between letters.
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Breaks of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Annotations, formats of notations, tags.
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Appends the escape of a character.
pub(crate) fn escape(text: &mut String, character: char) {
    let _ = match u8::try_from(u32::from(character)) {
        Ok(byte) => match byte {
            b'\n' => write!(text, "\\n"),
            b'\r' => write!(text, "\\r"),
            b'\t' => write!(text, "\\t"),
            byte => write!(text, "\\x{byte:02x}"),
        },
        Err(_) => write!(text, "\\u{{{:x}}}", u32::from(character)),
    };
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    if is_plain(text) && !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if !is_foul(character) || is_kept(character) || joins(before, character, rest.peek().copied()) {
            safe.push(character);
        } else {
            escape(&mut safe, character);
        }
        before = Some(character);
    }
    Cow::Owned(safe)
}

/// A joiner between letters of scripts that need it, or between parts of one sign, hides nothing.
fn joins(before: Option<char>, character: char, after: Option<char>) -> bool {
    let is_script = |character: Option<char>| character.is_some_and(|c| !c.is_ascii() && !is_foul(c));
    matches!(character, '\u{200c}' | '\u{200d}') && is_script(before) && is_script(after)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n'))
}

fn cut(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(text.get(..end).unwrap_or_default().chars().chain([ELLIPSIS]).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_commands_turns_around_or_hides_is_shown() {
        for (text, shown) in [
            ("plain – naïve 日本 🦀", "plain – naïve 日本 🦀"),
            ("\u{1b}]0;PWNED\u{7}\u{1b}[2J", r"\x1b]0;PWNED\x07\x1b[2J"),
            ("a\nbanger: b\r\tc\u{7f}", r"a\nbanger: b\r\tc\x7f"),
            ("\u{9b}31mC1\u{85}", r"\x9b31mC1\x85"),
            ("exe.\u{202e}gpj", r"exe.\u{202e}gpj"),
            ("\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}", r"\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}"),
            ("a\u{2028}b\u{2029}", r"a\u{2028}b\u{2029}"),
            ("ad\u{200b}min\u{feff}\u{2060}\u{ad}", r"ad\u{200b}min\u{feff}\u{2060}\xad"),
            ("ad\u{200d}min", r"ad\u{200d}min"),
            ("نمی\u{200c}خواهم 👩\u{200d}💻", "نمی\u{200c}خواهم 👩\u{200d}💻"),
            ("\u{e0041}", r"\u{e0041}"),
        ] {
            assert_eq!(line(text, 100), shown);
        }
        assert_eq!(lines("a\n\u{1b}b\n"), "a\n\\x1bb\n");
    }

    #[test]
    fn what_is_too_long_is_cut_before_it_is_shown() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcdef…");
        assert_eq!(line("ä\u{1b}öx", 2), "ä\\x1b…");
    }

    proptest! {
        #[test]
        fn nothing_foul_is_left_and_showing_twice_changes_nothing(text in any::<String>()) {
            let shown = line(&text, 1000).into_owned();
            let is_left = shown.chars().any(|c| is_foul(c) && !matches!(c, '\u{200c}' | '\u{200d}'));
            prop_assert!(!is_left, "{shown:?}");
            prop_assert_eq!(line(&shown, 100_000), shown.as_str());
        }

        #[test]
        fn json_keeps_its_value_and_commands_nobody(text in any::<String>()) {
            let plain = serde_json::to_string_pretty(&[&text, "\u{9b}31m\u{202e}\u{e0041}\u{7f}"]).unwrap();
            let safe = json(&plain).into_owned();
            let is_left = safe.chars().any(|c| is_foul(c) && c != '\n');
            prop_assert!(!is_left, "{safe:?}");
            prop_assert_eq!(
                serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
                serde_json::from_str::<serde_json::Value>(&plain).unwrap()
            );
        }
    }
}
