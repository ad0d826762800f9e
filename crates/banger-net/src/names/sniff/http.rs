//! Requests of HTTP/1 in a stream: their hosts, methods and targets, and where each of them ends. Whatever two servers could
//! read differently is malformed. Sources: RFC 9110, RFC 9112 (sections 3.2, 6.3 and 11.2).

use banger_model::egress::HostName;
use httparse::{EMPTY_HEADER, Request, Status};

/// Longest request line with its headers.
pub(super) const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 128;
/// Longest line before a chunk: its length, and extensions that nobody uses.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The host that it is for; `None`: it names none, or an address.
    pub host: Option<HostName>,
    /// Its method.
    pub method: String,
    /// Its target without scheme and host, such as `/owner/name?page=2`.
    pub target: String,
}

/// The bytes are not requests that every server reads in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an unambiguous HTTP/1 request")]
pub struct MalformedRequest;

/// What can be sent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The requests that begin in the bytes, in order. All of them must be permitted before the bytes are sent.
    pub heads: Vec<Head>,
    /// Whole heads, and what has arrived of bodies.
    pub bytes: Vec<u8>,
}

/// Reads what a client sends. It holds the begin of a request until its head is complete.
///
/// After a request for another protocol (`Upgrade`) it goes on to expect requests, so such connections end at the first bytes
/// of the other protocol.
#[derive(Clone, Debug, Default)]
pub struct HttpReader {
    held: Vec<u8>,
    /// So many held bytes were searched for the end of a head already.
    searched: usize,
    expected: Expected,
}

/// What comes next in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    ChunkLine,
    /// So many bytes of a chunk and its line end.
    Chunk(u64),
    /// Lines behind the last chunk, to the empty one.
    Trailer,
}

impl HttpReader {
    /// Takes bytes of the client.
    ///
    /// # Errors
    /// The connection has to be closed; nothing of the bytes may be sent.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Passage, MalformedRequest> {
        self.held.extend_from_slice(bytes);
        let mut passage = Passage::default();
        while !self.held.is_empty() {
            let passed = match self.expected {
                Expected::Head => self.head(&mut passage)?,
                Expected::ChunkLine => self.chunk_line()?,
                Expected::Trailer => self.trailer()?,
                Expected::Body(left) => Some(self.body(left, Expected::Body, Expected::Head)),
                Expected::Chunk(left) => Some(self.body(left, Expected::Chunk, Expected::ChunkLine)),
            };
            let Some(passed) = passed else { break };
            passage.bytes.extend(self.held.drain(..passed));
            self.searched = 0;
        }
        Ok(passage)
    }

    fn body(&mut self, left: u64, more: fn(u64) -> Expected, next: Expected) -> usize {
        let passed = usize::try_from(left).map_or(self.held.len(), |left| left.min(self.held.len()));
        let left = left - passed as u64;
        self.expected = if left == 0 { next } else { more(left) };
        passed
    }

    /// Reads a head and returns its length; `None`: it is not complete.
    fn head(&mut self, passage: &mut Passage) -> Result<Option<usize>, MalformedRequest> {
        // Some servers skip empty lines before a request, others do not.
        if self.held.first().is_some_and(u8::is_ascii_whitespace) {
            return Err(MalformedRequest);
        }
        // The end may have begun in what was searched.
        let from = self.searched.saturating_sub(3);
        let end = self.held.get(from..).and_then(end_of_head);
        let Some(length) = end.map(|length| from + length) else {
            self.searched = self.held.len();
            return if self.held.len() > HEAD_BYTES_MAX { Err(MalformedRequest) } else { Ok(None) };
        };
        let head = self.held.get(..length).filter(|_| length <= HEAD_BYTES_MAX).ok_or(MalformedRequest)?;
        let (head, expected) = read_head(head)?;
        passage.heads.push(head);
        self.expected = expected;
        Ok(Some(length))
    }

    fn chunk_line(&mut self) -> Result<Option<usize>, MalformedRequest> {
        let Some(line) = line(&self.held, CHUNK_LINE_BYTES_MAX)? else { return Ok(None) };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or(line).trim_ascii_end();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
        let length = std::str::from_utf8(digits).ok().filter(|_| is_number);
        let length =
            length.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(MalformedRequest)?;
        self.expected = match length {
            0 => Expected::Trailer,
            length => Expected::Chunk(length.checked_add(2).ok_or(MalformedRequest)?),
        };
        Ok(Some(line.len() + 2))
    }

    fn trailer(&mut self) -> Result<Option<usize>, MalformedRequest> {
        let Some(line) = line(&self.held, HEAD_BYTES_MAX)? else { return Ok(None) };
        if line.is_empty() {
            self.expected = Expected::Head;
        }
        Ok(Some(line.len() + 2))
    }
}

/// Returns a line without its end; `None`: it is not complete.
fn line(bytes: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, MalformedRequest> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
            line.filter(|line| line.len() <= bytes_max && !line.contains(&b'\r'))
                .map(Some)
                .ok_or(MalformedRequest)
        }
        None if bytes.len() > bytes_max => Err(MalformedRequest),
        None => Ok(None),
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    // A line end of `\n` alone ends the head, too, for those who read it so; it is refused afterwards.
    let is_end = |window: &[u8]| window.starts_with(b"\n\r\n") || window.starts_with(b"\n\n");
    let place =
        bytes.windows(3).position(is_end).or_else(|| bytes.ends_with(b"\n\n").then(|| bytes.len() - 2))?;
    Some(place + if bytes.get(place + 1) == Some(&b'\r') { 3 } else { 2 })
}

fn read_head(bytes: &[u8]) -> Result<(Head, Expected), MalformedRequest> {
    let has_bare_line_end = bytes.iter().enumerate().any(|(place, byte)| match byte {
        b'\n' => place == 0 || bytes.get(place - 1) != Some(&b'\r'),
        b'\r' => bytes.get(place + 1) != Some(&b'\n'),
        _ => false,
    });
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let is_whole = matches!(request.parse(bytes), Ok(Status::Complete(length)) if length == bytes.len());
    let (Some(method), Some(target), Some(minor), true) =
        (request.method, request.path, request.version, is_whole && !has_bare_line_end)
    else {
        return Err(MalformedRequest);
    };
    let values = |name: &'static str| {
        request
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    let mut hosts = values("host");
    let host = hosts.next();
    // HTTP/1.1 needs the header, and two of them leave the choice to the server.
    if hosts.next().is_some() || host.is_none() && minor == 1 {
        return Err(MalformedRequest);
    }
    let host = host.map(|host| std::str::from_utf8(host).ok().ok_or(MalformedRequest)).transpose()?;
    let (authority, target) = split(method, target)?;
    // A proxy goes by the target, a server by the header.
    if let (Some(authority), Some(host)) = (authority, host)
        && without_port(authority)? != without_port(host)?
    {
        return Err(MalformedRequest);
    }
    let host = match authority.or(host) {
        Some(text) => without_port(text)?,
        None => None,
    };
    let head = Head { host, method: method.to_owned(), target: target.to_owned() };
    Ok((head, expected_after(values("content-length"), values("transfer-encoding"), minor)?))
}

/// Divides a target into authority and the rest.
fn split<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), MalformedRequest> {
    if method == "CONNECT" {
        return Ok((Some(target), "/"));
    }
    if target == "*" || target.starts_with('/') {
        return Ok((None, target));
    }
    let (scheme, rest) = target.split_once("://").ok_or(MalformedRequest)?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(MalformedRequest);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.contains('@') || path.starts_with('?') {
        return Err(MalformedRequest);
    }
    Ok((Some(authority), if path.is_empty() { "/" } else { path }))
}

/// Returns the name without its port; `None`: it is an address, or empty.
fn without_port(authority: &str) -> Result<Option<HostName>, MalformedRequest> {
    if authority.starts_with('[') || authority.is_empty() {
        return Ok(None);
    }
    let host = match authority.split_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) => return Err(MalformedRequest),
        None => authority,
    };
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(None);
    }
    // Names stand in it in ASCII.
    Some(host)
        .filter(|host| host.is_ascii())
        .and_then(|host| host.parse().ok())
        .map(Some)
        .ok_or(MalformedRequest)
}

fn expected_after<'a>(
    lengths: impl Iterator<Item = &'a [u8]>,
    encodings: impl Iterator<Item = &'a [u8]>,
    minor: u8,
) -> Result<Expected, MalformedRequest> {
    let (lengths, encodings): (Vec<&[u8]>, Vec<&[u8]>) = (lengths.collect(), encodings.collect());
    match (lengths.as_slice(), encodings.as_slice()) {
        ([], []) => Ok(Expected::Head),
        ([length], []) => {
            let digits = std::str::from_utf8(length)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()).ok_or(MalformedRequest)? {
                0 => Ok(Expected::Head),
                length => Ok(Expected::Body(length)),
            }
        }
        ([], [encoding]) if encoding.eq_ignore_ascii_case(b"chunked") && minor == 1 => {
            Ok(Expected::ChunkLine)
        }
        _ => Err(MalformedRequest),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
