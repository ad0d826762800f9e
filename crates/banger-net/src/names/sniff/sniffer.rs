//! Reads the begin of a stream until it is known what it is.

use banger_model::egress::Said;

use super::http::{HEAD_BYTES_MAX, HttpReader};
use super::tls::{Hello, Progress, read};

const HANDSHAKE_RECORD: u8 = 22;
/// No method is as long.
const METHOD_BYTES_MAX: usize = 32;

/// Collects the first bytes of a stream. It holds at most 64 KiB.
#[derive(Clone, Debug, Default)]
pub struct Sniffer {
    held: Vec<u8>,
    /// Nothing new is known before so many bytes are here.
    needed: usize,
}

impl Sniffer {
    /// Takes bytes of the guest. Returns what they say, as soon as it is known; nothing was sent on until then.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Said> {
        self.held.extend_from_slice(bytes);
        if self.held.len() < self.needed {
            return None;
        }
        match self.held.first()? {
            &HANDSHAKE_RECORD => match read(&self.held) {
                Ok(Progress::Whole(Hello::Name(name))) => Some(Said::Tls(name)),
                Ok(Progress::Whole(Hello::Encrypted)) => Some(Said::EncryptedName),
                Ok(Progress::Missing(bytes)) => {
                    self.needed = self.held.len() + bytes;
                    None
                }
                // What claims to be TLS and cannot be read has no name.
                Ok(Progress::Whole(Hello::NoName)) | Err(_) => Some(Said::NoName),
            },
            b'A'..=b'Z' => self.http(bytes),
            _ => Some(Said::Other),
        }
    }

    /// Returns what the bytes say if no more come: the guest waits for the server.
    #[must_use]
    pub fn silence(&self) -> Said {
        match self.held.first() {
            // It began to say something, and must not be guessed.
            Some(&HANDSHAKE_RECORD) => Said::NoName,
            Some(_) | None => Said::Other,
        }
    }

    /// Returns the bytes that were held back.
    #[must_use]
    pub fn into_held(self) -> Vec<u8> {
        self.held
    }

    fn http(&mut self, new: &[u8]) -> Option<Said> {
        // Nothing ends without a line end, and a guest may send single bytes.
        if !new.contains(&b'\n') && (METHOD_BYTES_MAX..HEAD_BYTES_MAX).contains(&self.held.len()) {
            return None;
        }
        if !can_be_http(&self.held) {
            return Some(Said::Other);
        }
        let passage = HttpReader::default().push(&self.held);
        match passage.map(|passage| passage.heads.into_iter().next()) {
            Ok(Some(head)) => Some(head.host.map_or(Said::NoName, Said::Http)),
            Ok(None) => None,
            Err(_) => Some(Said::NoName),
        }
    }
}

/// Tells whether the first line is or can become that of a request. Other protocols begin with capitals as well, such as SSH.
fn can_be_http(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    let is_whole = line.len() < bytes.len();
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let is_method = |word: &[u8]| {
        word.len() < METHOD_BYTES_MAX && word.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
    };
    match (words.next(), words.next_back()) {
        (Some(method), Some(version)) if is_whole => is_method(method) && version.starts_with(b"HTTP/"),
        (Some(_), None) if is_whole => false,
        (method, _) => method.is_some_and(is_method),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tls::tests::hello;
    use super::*;

    /// Pushes the bytes in pieces.
    fn said(bytes: &[u8], piece: usize) -> Option<Said> {
        let mut sniffer = Sniffer::default();
        let said = bytes.chunks(piece).find_map(|piece| sniffer.push(piece));
        assert!(bytes.starts_with(&sniffer.into_held()));
        said
    }

    fn tls(name: &str) -> Said {
        Said::Tls(name.parse().unwrap())
    }

    #[test]
    fn each_protocol_is_known_by_its_first_bytes() {
        for piece in [1, 3, 9000] {
            let said = |bytes: &[u8]| said(bytes, piece);
            assert_eq!(said(&hello("a.org")), Some(tls("a.org")));
            assert_eq!(
                said(b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n"),
                Some(Said::Http("a.org".parse().unwrap()))
            );
            assert_eq!(said(b"GET / HTTP/1.0\r\n\r\n"), Some(Said::NoName));
            assert_eq!(said(b"GET / HTTP/1.1\r\nHost: a.org\r\nHost: b.org\r\n\r\n"), Some(Said::NoName));
            assert_eq!(said(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(Said::NoName));
            assert_eq!(said(&[22, 3, 1, 0, 5, 2]), Some(Said::NoName));
            assert_eq!(said(b"SSH-2.0-OpenSSH_9.2\r\n"), Some(Said::Other));
            assert_eq!(said(b"EHLO a.org\r\n"), Some(Said::Other));
            assert_eq!(said(b"QUIT\r\n"), Some(Said::Other));
            assert_eq!(said(b"\0\0\0\x08\x04\xd2\x16\x2f"), Some(Said::Other));
            assert_eq!(said(b"GET / HTTP/1.1\r\nHost: a"), None);
        }
    }

    #[test]
    fn silence_is_another_protocol_unless_a_hello_was_begun() {
        assert_eq!(Sniffer::default().silence(), Said::Other);
        let mut begun = Sniffer::default();
        assert_eq!(begun.push(&hello("a.org")[..20]), None);
        assert_eq!(begun.silence(), Said::NoName);
    }

    proptest! {
        #[test]
        fn an_end_is_always_reached(bytes in proptest::collection::vec(any::<u8>(), 1..50), first in prop_oneof![Just(22_u8), Just(b'G'), any::<u8>()]) {
            let mut sniffer = Sniffer::default();
            let endless = std::iter::once(vec![first]).chain(std::iter::repeat_n(bytes.repeat(20), 5000));
            prop_assert!(endless.into_iter().any(|bytes| sniffer.push(&bytes).is_some()));
            prop_assert!(sniffer.into_held().len() <= 70 * 1024);
        }
    }
}
