//! The client hello of TLS: which host a client means. Sources: RFC 8446 (sections 4.1.2 and 5.1), RFC 6066, RFC 9849.

use banger_model::egress::HostName;

/// Longest client hello that is read. Those of today have 2 KiB, with keys against quantum computers.
const HELLO_BYTES_MAX: usize = 32 * 1024;
/// The same with headers of records. Each may be around a single byte, but nobody writes it so.
const STREAM_BYTES_MAX: usize = 2 * HELLO_BYTES_MAX;
/// Longest record of plain text.
const RECORD_BYTES_MAX: usize = 1 << 14;

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// Encrypted client hello, and what it was called before.
const ENCRYPTED: [u16; 2] = [0xfe0d, 0xffce];

/// What a client hello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Name(HostName),
    NoName,
    Encrypted,
}

/// How far a client hello was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To the end.
    Whole(Hello),
    /// At least so many bytes are missing. Whoever waits for them reads a hello a few times only, however it is cut.
    Missing(usize),
}

/// The bytes are not a client hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a client hello from the begin of a stream, however it is divided into records.
pub(super) fn read(stream: &[u8]) -> Result<Progress, Malformed> {
    if stream.len() > STREAM_BYTES_MAX {
        return Err(Malformed);
    }
    let (mut handshake, mut missing) = (Vec::new(), 1);
    let mut rest = Bytes(stream);
    while let Ok(header) = rest.take(5) {
        let [kind, major, _, high, low] = header else { return Err(Malformed) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE_RECORD || *major != 3 || length == 0 || length > RECORD_BYTES_MAX {
            return Err(Malformed);
        }
        let whole = rest.take(length);
        let fragment = whole.unwrap_or(rest.0);
        handshake.extend_from_slice(fragment);
        match of_handshake(&handshake)? {
            Progress::Whole(hello) => return Ok(Progress::Whole(hello)),
            Progress::Missing(bytes) => missing = bytes,
        }
        if whole.is_err() {
            break;
        }
    }
    Ok(Progress::Missing(missing))
}

fn of_handshake(bytes: &[u8]) -> Result<Progress, Malformed> {
    let [kind, lengths @ ..] = bytes else { return Ok(Progress::Missing(1)) };
    if *kind != CLIENT_HELLO {
        return Err(Malformed);
    }
    let Some([a, b, c]) = lengths.first_chunk::<3>() else { return Ok(Progress::Missing(1)) };
    let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
    if length > HELLO_BYTES_MAX {
        return Err(Malformed);
    }
    match lengths.get(3..3 + length) {
        Some(body) => of_body(Bytes(body)).map(Progress::Whole),
        None => Ok(Progress::Missing(3 + length - lengths.len())),
    }
}

fn of_body(mut body: Bytes<'_>) -> Result<Hello, Malformed> {
    let _version_and_random = body.take(2 + 32)?;
    let _session = body.vector_8()?;
    let _ciphers = body.vector_16()?;
    let _compressions = body.vector_8()?;
    if body.0.is_empty() {
        return Ok(Hello::NoName);
    }
    let mut extensions = body.vector_16()?;
    let (mut name, mut is_encrypted) = (None, false);
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.number_16()?, extensions.vector_16()?);
        is_encrypted |= ENCRYPTED.contains(&kind);
        // A second name could be the one that the server reads.
        if kind == SERVER_NAME && name.replace(server_name(content)?).is_some() {
            return Err(Malformed);
        }
    }
    if !body.0.is_empty() {
        return Err(Malformed);
    }
    Ok(match (is_encrypted, name) {
        (true, _) => Hello::Encrypted,
        (false, Some(name)) => Hello::Name(name),
        (false, None) => Hello::NoName,
    })
}

fn server_name(mut content: Bytes<'_>) -> Result<HostName, Malformed> {
    let mut list = content.vector_16()?;
    let (kind, name) = (list.take(1)?, list.vector_16()?);
    if kind != [HOST_NAME] || !list.0.is_empty() || !content.0.is_empty() {
        return Err(Malformed);
    }
    // Names stand in it in ASCII. Anything else could be read in two ways.
    let text = std::str::from_utf8(name.0).ok().filter(|text| text.is_ascii()).ok_or(Malformed)?;
    text.parse().ok().ok_or(Malformed)
}

/// Bytes that are taken from the begin.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number_16(&mut self) -> Result<u16, Malformed> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes).ok_or(Malformed)
    }

    fn vector_8(&mut self) -> Result<Self, Malformed> {
        let length = self.take(1)?.first().copied().unwrap_or(0);
        self.take(length.into()).map(Self)
    }

    fn vector_16(&mut self) -> Result<Self, Malformed> {
        let length = self.number_16()?;
        self.take(length.into()).map(Self)
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
pub(super) mod tests;
