//! What a command has changed of the terminal and not put back: kept by reading along, so that the terminal can be
//! put right when the command cannot do it any more, because its machine died under it. What a command puts back
//! itself is not touched. The sequences are those of xterm (`ctlseqs`), which all terminals of today follow.

use std::collections::BTreeSet;
use std::fmt::Write as _;

const ESCAPE: u8 = 0x1b;
/// Longest parameters that mean anything here.
const PARAMETERS_BYTES_MAX: usize = 64;
/// Private modes that are off at first: keys, colours, origin, mouse, focus, paste, updates.
const OFF_AT_FIRST: [u16; 19] =
    [1, 5, 6, 9, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048, 1070];
/// Private modes that are on at first: lines wrap, the cursor is there.
const ON_AT_FIRST: [u16; 2] = [WRAP, CURSOR];
const WRAP: u16 = 7;
const CURSOR: u16 = 25;
/// Private modes for the other screen.
const SCREENS: [u16; 3] = [47, 1047, 1049];

/// The terminal as a command leaves it.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    state: State,
    parameters: Vec<u8>,
    changed: Changed,
    is_in_line: bool,
}

/// Everything that differs from a terminal at rest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changed {
    modes: BTreeSet<u16>,
    others: BTreeSet<Other>,
    /// Settings of the keyboard on kitty's stack.
    keyboards: u16,
}

/// What is no private mode, in the order in which it is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Other {
    /// Keys that tell more than usual (`modifyOtherKeys`).
    Keys,
    Keypad,
    /// The second character set, by shift-out.
    Shifted,
    /// Line drawing as the first character set.
    LineDrawing,
    Insert,
    Region,
    Colours,
    CursorStyle,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// A character set follows.
    CharacterSet,
    /// One character of a sequence that means nothing here follows.
    Other,
    Control,
    /// A title or the like, up to its end.
    String,
    StringEscape,
}

impl Screen {
    /// Reads what goes to the terminal.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = self.next(*byte);
        }
    }

    /// Returns what puts the terminal right; empty when it is.
    pub(crate) fn undo(&self) -> Vec<u8> {
        let changed = &self.changed;
        let mut text = String::new();
        if changed.keyboards > 0 {
            let _ = write!(text, "\u{1b}[<{}u", changed.keyboards);
        }
        for mode in changed.modes.iter().filter(|mode| OFF_AT_FIRST.contains(mode)) {
            let _ = write!(text, "\u{1b}[?{mode}l");
        }
        let has_other_screen = SCREENS.iter().any(|mode| changed.modes.contains(mode));
        // A region's end moves the cursor; the other screen has a cursor of its own.
        let region = if has_other_screen { "\u{1b}[r" } else { "\u{1b}7\u{1b}[r\u{1b}8" };
        if changed.modes.contains(&WRAP) {
            text.push_str("\u{1b}[?7h");
        }
        for other in &changed.others {
            text.push_str(match other {
                Other::Keys => "\u{1b}[>4;0m",
                Other::Keypad => "\u{1b}>",
                Other::Shifted => "\u{f}",
                Other::LineDrawing => "\u{1b}(B",
                Other::Insert => "\u{1b}[4l",
                Other::Region => region,
                Other::Colours => "\u{1b}[0m",
                Other::CursorStyle => "\u{1b}[0 q",
            });
        }
        for mode in SCREENS.iter().filter(|mode| changed.modes.contains(mode)) {
            let _ = write!(text, "\u{1b}[?{mode}l");
        }
        if changed.modes.contains(&CURSOR) {
            text.push_str("\u{1b}[?25h");
        }
        text.into_bytes()
    }

    /// Tells whether the cursor stands behind text, so that a message of ours has to begin a line.
    pub(crate) fn is_in_line(&self) -> bool {
        self.is_in_line
    }

    fn next(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            // Both give up whatever has begun (`console_codes(4)`).
            (_, 0x18 | 0x1a) => State::Text,
            (State::String, ESCAPE) => State::StringEscape,
            (State::StringEscape, b'\\') | (State::String, 0x07) => State::Text,
            (State::String | State::StringEscape, _) => State::String,
            (_, ESCAPE) => State::Escape,
            (State::Text, byte) => self.text(byte),
            (State::Escape, byte) => self.escape(byte),
            (State::CharacterSet, byte) => {
                self.changed.set(Other::LineDrawing, byte == b'0');
                State::Text
            }
            (State::Other, _) => State::Text,
            (State::Control, 0x40..=0x7e) => {
                self.control(byte);
                State::Text
            }
            (State::Control, 0x20..=0x3f) => {
                if self.parameters.len() < PARAMETERS_BYTES_MAX {
                    self.parameters.push(byte);
                }
                State::Control
            }
            (State::Control, _) => State::Control,
        }
    }

    fn text(&mut self, byte: u8) -> State {
        let has_other_screen = SCREENS.iter().any(|mode| self.changed.modes.contains(mode));
        match byte {
            0x0e => self.changed.set(Other::Shifted, true),
            0x0f => self.changed.set(Other::Shifted, false),
            b'\n' | b'\r' => self.is_in_line = false,
            0x20.. if !has_other_screen => self.is_in_line = true,
            _ => {}
        }
        State::Text
    }

    fn escape(&mut self, byte: u8) -> State {
        match byte {
            b'[' => {
                self.parameters.clear();
                return State::Control;
            }
            b']' | b'P' | b'X' | b'^' | b'_' => return State::String,
            b'(' => return State::CharacterSet,
            0x20..=0x2f => return State::Other,
            b'=' => self.changed.set(Other::Keypad, true),
            b'>' => self.changed.set(Other::Keypad, false),
            b'c' => self.changed = Changed::default(),
            _ => {}
        }
        State::Text
    }

    fn control(&mut self, last: u8) {
        let parameters = std::mem::take(&mut self.parameters);
        let prefix = parameters.first().copied().filter(|byte| b"<=>?".contains(byte));
        let infix = parameters.last().copied().filter(|byte| (0x20..=0x2f).contains(byte));
        let numbers: Vec<u16> = parameters
            .split(|byte| *byte == b';')
            .map(|text| {
                let digits = text
                    .iter()
                    .skip_while(|byte| b"<=>?".contains(byte))
                    .map_while(|byte| byte.is_ascii_digit().then(|| u16::from(byte - b'0')));
                digits.fold(0_u16, |number, digit| number.saturating_mul(10).saturating_add(digit))
            })
            .collect();
        let first = numbers.first().copied().unwrap_or(0);
        let changed = &mut self.changed;
        match (prefix, infix, last) {
            (Some(b'?'), None, b'h' | b'l') => {
                for mode in numbers {
                    changed.set_mode(mode, last == b'h');
                }
            }
            (None, None, b'h' | b'l') if numbers.contains(&4) => changed.set(Other::Insert, last == b'h'),
            (None, None, b'm') => {
                let is_palette = numbers.iter().any(|number| matches!(number, 38 | 48 | 58));
                changed.set(Other::Colours, is_palette || numbers.last().is_some_and(|number| *number != 0));
            }
            (Some(b'>'), None, b'm') if first == 4 => {
                changed.set(Other::Keys, numbers.get(1).is_some_and(|value| *value != 0));
            }
            (None, None, b'r') => changed.set(Other::Region, numbers.iter().any(|number| *number != 0)),
            (None, Some(b' '), b'q') => changed.set(Other::CursorStyle, first != 0),
            (Some(b'>'), None, b'u') => changed.keyboards = changed.keyboards.saturating_add(1),
            (Some(b'<'), None, b'u') => changed.keyboards = changed.keyboards.saturating_sub(first.max(1)),
            (None, Some(b'!'), b'p') => *changed = Changed::default(),
            _ => {}
        }
    }
}

impl Changed {
    fn set(&mut self, other: Other, is_on: bool) {
        if is_on {
            self.others.insert(other);
        } else {
            self.others.remove(&other);
        }
    }

    fn set_mode(&mut self, mode: u16, is_on: bool) {
        let is_known = OFF_AT_FIRST.contains(&mode) || SCREENS.contains(&mode);
        if is_known && is_on || ON_AT_FIRST.contains(&mode) && !is_on {
            self.modes.insert(mode);
        } else {
            self.modes.remove(&mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn undo(pieces: &[&str]) -> String {
        let mut screen = Screen::default();
        for piece in pieces {
            screen.take(piece.as_bytes());
        }
        String::from_utf8(screen.undo()).unwrap().replace('\u{1b}', "^")
    }

    #[test]
    fn what_an_editor_changes_is_undone_and_what_it_puts_back_is_not() {
        let begin = "\u{1b}[?1049h\u{1b}[22;0;0t\u{1b}[>4;2m\u{1b}[?1h\u{1b}=\u{1b}[?2004h\u{1b}[?1004h\u{1b}[1;24r\
            \u{1b}[?12h\u{1b}[?12l\u{1b}]2;title\u{7}\u{1b}[27m\u{1b}[m\u{1b}[H\u{1b}[2J\u{1b}[?25l\u{1b}[38;5;0mtext";
        assert_eq!(undo(&[begin]), "^[?1l^[?1004l^[?2004l^[>4;0m^>^[r^[0m^[?1049l^[?25h");
        let end =
            "\u{1b}[0m\u{1b}[r\u{1b}[?1004l\u{1b}[?2004l\u{1b}[?1l\u{1b}>\u{1b}[>4;m\u{1b}[?25h\u{1b}[?1049l";
        assert_eq!(undo(&[begin, end]), "");
        assert_eq!(undo(&[begin, "\u{1b}c"]), "");
        assert_eq!(undo(&[begin, "\u{1b}[!p"]), "");
    }

    #[test]
    fn each_change_is_known_and_text_is_none() {
        for (text, expected) in [
            ("plain\r\n\u{1b}[2K\u{1b}[10;3H\u{1b}[6n\u{1b}7\u{1b}8", ""),
            ("\u{1b}[?1000;1002;1006h", "^[?1000l^[?1002l^[?1006l"),
            ("\u{1b}[1;31mred", "^[0m"),
            ("\u{1b}[1mbold\u{1b}[0;0m", ""),
            ("\u{1b}(0lqqk", "^(B"),
            ("\u{1b}(0lqqk\u{1b}(B\u{e}\u{f}", ""),
            ("\u{1b}[3;10r", "^7^[r^8"),
            ("\u{1b}[4h", "^[4l"),
            ("\u{1b}[?7l", "^[?7h"),
            ("\u{1b}[2 q", "^[0 q"),
            ("\u{1b}[>1u\u{1b}[>5u\u{1b}[<u", "^[<1u"),
            ("\u{1b}]0;\u{1b}[?25l is a title\u{1b}\\", ""),
            ("\u{1b}P+q544e\u{1b}\\\u{1b}[?25l", "^[?25h"),
            ("\u{1b}[?25\u{18}l", ""),
            ("\u{1b}[?47h", "^[?47l"),
        ] {
            assert_eq!(undo(&[text]), expected, "{text:?}");
        }
    }

    #[test]
    fn it_is_known_whether_a_line_has_begun() {
        for (text, is_in_line) in [
            ("", false),
            ("text", true),
            ("text\r\n", false),
            ("text\r\n\u{1b}[0m", false),
            ("# \u{1b}[?2004h", true),
            ("\u{1b}[?1049htext", false),
        ] {
            let mut screen = Screen::default();
            screen.take(text.as_bytes());
            assert_eq!(screen.is_in_line(), is_in_line, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn after_an_undo_nothing_is_left_and_pieces_make_no_difference(
            text in "([\u{1b}][\\[\\]()=>c]?[?<>]?[0-9;]{0,4}[hlmrqu ]|[a-z\u{e}\u{7}]){0,12}", at in 0_usize..40
        ) {
            let bytes = text.as_bytes();
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let mut screen = Screen::default();
            screen.take(first);
            screen.take(second);
            let mut whole = Screen::default();
            whole.take(bytes);
            prop_assert_eq!(screen.undo(), whole.undo());
            // Whatever has begun is given up first.
            let undo = screen.undo();
            screen.take(b"\x18");
            screen.take(&undo);
            prop_assert_eq!(&screen.changed, &Changed::default());
        }
    }
}
