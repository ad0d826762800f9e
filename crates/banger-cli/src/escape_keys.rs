//! Keys that leave a session on a terminal, whatever its guest does: by default `~.` at the beginning of a line, as in
//! ssh; or keys anywhere, as docker's `--detach-keys` has them.

use std::str::FromStr;

/// What `~?` tells.
pub(crate) const HELP: &str = "Escapes, at the beginning of a line:\r
  ~.  leave; the command in the guest is ended\r
  ~~  type a tilde\r
  ~?  this text\r
";

/// Which keys leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EscapeKeys {
    /// None do.
    Off,
    /// This character at the beginning of a line, and `.` after it.
    AtLineStart(u8),
    /// These bytes, one after the other, anywhere.
    Sequence(Vec<u8>),
}

/// A text names no keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid key sequence; use a character as in `~`, keys as in `ctrl-p,ctrl-q`, or `none`; `ctrl-` takes a-z, @, [, \\, ], ^ and _"
)]
pub(crate) struct EscapeKeysError {
    text: String,
}

impl Default for EscapeKeys {
    fn default() -> Self {
        Self::AtLineStart(b'~')
    }
}

impl FromStr for EscapeKeys {
    type Err = EscapeKeysError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::Off);
        }
        let refuse = || EscapeKeysError { text: text.to_owned() };
        let keys = text.split(',').map(key).collect::<Option<Vec<_>>>().ok_or_else(refuse)?;
        match keys.as_slice() {
            [key] if key.is_ascii_graphic() => Ok(Self::AtLineStart(*key)),
            _ => Ok(Self::Sequence(keys)),
        }
    }
}

/// The byte that a key types.
fn key(name: &str) -> Option<u8> {
    if let Some(name) = name.strip_prefix("ctrl-") {
        return match name.as_bytes() {
            [key @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(key & 0x1f),
            _ => None,
        };
    }
    match name.as_bytes() {
        [key] if key.is_ascii_graphic() => Some(*key),
        _ => None,
    }
}

/// What to do with what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// It is the command's.
    Send(Vec<u8>),
    Help,
    Leave,
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(crate) struct Watcher {
    keys: EscapeKeys,
    is_line_start: bool,
    /// The beginning of the keys, which the command gets when something else follows.
    held: Vec<u8>,
}

impl Watcher {
    pub(crate) fn new(keys: EscapeKeys) -> Self {
        Self { keys, is_line_start: true, held: Vec::new() }
    }

    /// Sorts what was typed; nothing follows [`Typed::Leave`].
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut all = Vec::new();
        let mut send = Vec::new();
        for byte in bytes {
            let other = match self.keys.clone() {
                EscapeKeys::Off => {
                    send.push(*byte);
                    None
                }
                EscapeKeys::AtLineStart(escape) => self.at_line_start(escape, *byte, &mut send),
                EscapeKeys::Sequence(keys) => self.sequence(&keys, *byte, &mut send),
            };
            let Some(other) = other else { continue };
            if !send.is_empty() {
                all.push(Typed::Send(std::mem::take(&mut send)));
            }
            let is_over = other == Typed::Leave;
            all.push(other);
            if is_over {
                return all;
            }
        }
        if !send.is_empty() {
            all.push(Typed::Send(send));
        }
        all
    }

    /// Returns what was held back when nothing more can be typed.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn at_line_start(&mut self, escape: u8, byte: u8, send: &mut Vec<u8>) -> Option<Typed> {
        let is_escaped = !self.held.is_empty();
        self.held.clear();
        match byte {
            b'.' if is_escaped => return Some(Typed::Leave),
            b'?' if is_escaped => return Some(Typed::Help),
            byte if byte == escape && !is_escaped && self.is_line_start => {
                self.held.push(byte);
                return None;
            }
            // Twice: once.
            byte if byte == escape && is_escaped => {}
            _ if is_escaped => send.push(escape),
            _ => {}
        }
        send.push(byte);
        self.is_line_start = matches!(byte, b'\r' | b'\n');
        None
    }

    fn sequence(&mut self, keys: &[u8], byte: u8, send: &mut Vec<u8>) -> Option<Typed> {
        self.held.push(byte);
        if self.held == keys {
            return Some(Typed::Leave);
        }
        // The longest end of it that may still become the keys is held back.
        while !keys.starts_with(&self.held) {
            send.push(self.held.remove(0));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the command gets, with `<leave>` and `<help>` where they come.
    fn typed(keys: &str, pieces: &[&str]) -> String {
        let mut watcher = Watcher::new(keys.parse().unwrap());
        let mut text = String::new();
        for typed in pieces.iter().flat_map(|piece| watcher.take(piece.as_bytes())) {
            match typed {
                Typed::Send(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Typed::Help => text.push_str("<help>"),
                Typed::Leave => return text + "<leave>",
            }
        }
        text + std::str::from_utf8(&watcher.end()).unwrap()
    }

    #[test]
    fn a_tilde_at_the_beginning_of_a_line_is_an_escape() {
        for (pieces, expected) in [
            (&["~."][..], "<leave>"),
            (&["ls\r", "~", "."], "ls\r<leave>"),
            (&["ls ~.\r"], "ls ~.\r"),
            (&["~~.\r~~~"], "~.\r~~"),
            (&["~?~."], "<help><leave>"),
            (&["~/bin\r~x"], "~/bin\r~x"),
            (&["a\n~.rest"], "a\n<leave>"),
            (&["~"], "~"),
            (&["~\r~."], "~\r<leave>"),
        ] {
            assert_eq!(typed("~", pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn keys_as_in_docker_leave_anywhere_and_none_leaves_never() {
        for (pieces, expected) in [
            (&["ab\u{10}\u{11}x"][..], "ab<leave>"),
            (&["\u{10}", "\u{11}"], "<leave>"),
            (&["\u{10}\u{10}\u{11}"], "\u{10}<leave>"),
            (&["\u{10}x"], "\u{10}x"),
            (&["~."], "~."),
        ] {
            assert_eq!(typed("ctrl-p,ctrl-q", pieces), expected, "{pieces:?}");
        }
        assert_eq!(typed("a,a,b", &["aaab"]), "a<leave>");
        assert_eq!(typed("none", &["~.\u{10}\u{11}"]), "~.\u{10}\u{11}");
        assert_eq!("ctrl-]".parse(), Ok(EscapeKeys::Sequence(vec![0x1d])));
        assert_eq!("ctrl-@,q".parse(), Ok(EscapeKeys::Sequence(vec![0, b'q'])));
        for bad in ["", "ab", "ctrl-", "ctrl-1", "ctrl-p,", "ä", " ", "CTRL-P"] {
            assert!(bad.parse::<EscapeKeys>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_no_escape_reaches_the_command_whole(text in "[a-z~.?\r]{0,20}", at in 0_usize..20) {
            let (first, second) = text.split_at(at.min(text.len()));
            prop_assert_eq!(typed("~", &[first, second]), typed("~", &[&text]));
            prop_assert_eq!(typed("none", &[first, second]), text.clone());
            if !text.contains("pq") {
                prop_assert_eq!(typed("p,q", &[first, second]), text);
            }
        }
    }
}
