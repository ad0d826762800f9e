//! A guest's console as text that is fit for a terminal: line breaks and tabs stay, colours are left out, and what else
//! would command the terminal is shown.

use crate::foreign;

const ESCAPE: u8 = 0x1b;
/// Longest sequence of colours.
const COLOURS_BYTES_MAX: usize = 64;

/// Returns a line of a console without its colours.
pub(crate) fn without_colours(line: &str) -> String {
    let mut console = ConsoleText::default();
    console.take(line.as_bytes()) + &console.end()
}

/// A console's bytes, piece by piece; what may go on in the next piece waits for it.
#[derive(Debug, Default)]
pub(crate) struct ConsoleText {
    waiting: Vec<u8>,
}

/// What stands at the beginning of some bytes.
enum Step {
    /// Something of so many bytes that is left out.
    LeftOut(usize),
    Shown(char),
    /// The first byte is no text.
    NoText,
    /// More has to come to tell.
    Incomplete,
}

impl ConsoleText {
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        self.show(false)
    }

    pub(crate) fn end(&mut self) -> String {
        self.show(true)
    }

    fn show(&mut self, is_end: bool) -> String {
        let mut text = String::with_capacity(self.waiting.len());
        let mut rest = self.waiting.as_slice();
        while let Some(first) = rest.first() {
            let count = match step(rest) {
                Step::LeftOut(count) => count,
                Step::Shown(character) => {
                    if matches!(character, '\n' | '\t') || !foreign::is_foul(character) {
                        text.push(character);
                    } else {
                        foreign::escape(&mut text, character);
                    }
                    character.len_utf8()
                }
                Step::Incomplete if !is_end => break,
                Step::NoText | Step::Incomplete => {
                    foreign::escape(&mut text, char::from(*first));
                    1
                }
            };
            rest = rest.get(count..).unwrap_or_default();
        }
        self.waiting = rest.to_vec();
        text
    }
}

fn step(bytes: &[u8]) -> Step {
    match bytes {
        [ESCAPE] | [ESCAPE, b'['] => Step::Incomplete,
        [ESCAPE, b'[', parameters @ ..] => colours(parameters),
        [b'\r'] => Step::Incomplete,
        // The end of a line on a serial line; some say the first half of it twice.
        [b'\r', b'\n' | b'\r', ..] => Step::LeftOut(1),
        _ => character(bytes),
    }
}

/// Colours and weights (`SGR`) have parameters and `m`.
fn colours(parameters: &[u8]) -> Step {
    let is_parameter = |byte: &u8| matches!(byte, b'0'..=b'9' | b';' | b':');
    let count = parameters.iter().take_while(|byte| is_parameter(byte)).count();
    match parameters.get(count) {
        Some(b'm') if count < COLOURS_BYTES_MAX => Step::LeftOut(count + 3),
        None if count < COLOURS_BYTES_MAX => Step::Incomplete,
        Some(_) | None => Step::Shown('\u{1b}'),
    }
}

fn character(bytes: &[u8]) -> Step {
    let longest = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let Some(chunk) = longest.utf8_chunks().next() else { return Step::Incomplete };
    match chunk.valid().chars().next() {
        Some(character) => Step::Shown(character),
        // Its beginning is one of a longer character.
        None if chunk.invalid().len() == longest.len() && longest.len() < 4 && is_begun(longest) => {
            Step::Incomplete
        }
        None => Step::NoText,
    }
}

/// Tells whether bytes that are no text yet could become a character.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut console = ConsoleText::default();
        let text: String = pieces.iter().map(|piece| console.take(piece)).collect();
        text + &console.end()
    }

    #[test]
    fn a_console_is_read_as_text_and_commands_nobody() {
        for (bytes, text) in [
            (&b"[    0.0] Linux\r\n\tok\n"[..], "[    0.0] Linux\n\tok\n"),
            (b"[\x1b[0;32m  OK  \x1b[0m] Started\r\r\n", "[  OK  ] Started\n"),
            (b"\x1b[2J\x1b]0;PWNED\x07", "\\x1b[2J\\x1b]0;PWNED\\x07"),
            (b"\x1b[?1049h\x1bc\x9b31m", "\\x1b[?1049h\\x1bc\\x9b31m"),
            ("ä\u{9b}\u{202e}日".as_bytes(), "ä\\x9b\\u{202e}日"),
            (b"10%\r20%\r", "10%\\r20%\\r"),
            (b"\xe6\x97", "\\xe6\\x97"),
            (b"end\x1b[3", "end\\x1b[3"),
        ] {
            assert_eq!(shown(&[bytes]), text);
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(b'm'), Just(b'\r')], 0..40),
            at in 0_usize..40
        ) {
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let whole = shown(&[&bytes]);
            prop_assert_eq!(shown(&[first, second]), whole.clone());
            prop_assert!(!whole.chars().any(|c| foreign::is_foul(c) && !matches!(c, '\n' | '\t')));
        }
    }
}
