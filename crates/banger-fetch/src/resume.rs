//! The headers of a download that continues (RFC 9110, sections 13.1.5 and 14), and of one that the server has compressed
//! (section 8.4). Pure rules.

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE,
};

/// The compression that a server has added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// None, or an unknown one: the digest tells.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// Returns the headers that ask for everything from an offset on, if the file still has the tag.
pub(crate) fn range(offset: u64, tag: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if offset > 0 {
        headers.extend(HeaderValue::try_from(format!("bytes={offset}-")).ok().map(|range| (RANGE, range)));
        headers.extend(tag.map(|tag| (IF_RANGE, tag.clone())));
    }
    headers
}

/// Returns the offset at which a partial response starts. One without it counts from the start, so its digest is wrong.
pub(crate) fn start(headers: &HeaderMap) -> u64 {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    start.unwrap_or(0)
}

/// Returns the tag of a file if it says that the bytes are the same; a weak one does not.
pub(crate) fn strong_tag(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")).cloned()
}

pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    let value = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Encoding::Gzip,
        "zstd" => Encoding::Zstd,
        _ => Encoding::Identity,
    }
}

/// What tells a file from another one at the same address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) tag: Option<HeaderValue>,
    pub(crate) bytes: Option<u64>,
}

impl Identity {
    /// Reads it from the headers of a response that has the whole file.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Self { tag: strong_tag(headers), bytes: length.and_then(|text| text.parse().ok()) }
    }

    /// Tells whether a second response has the same file. Without a tag the size must do; the digest is checked anyway.
    pub(crate) fn is_still(&self, now: &Self) -> bool {
        self == now && (self.tag.is_some() || self.bytes.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn only_a_strong_tag_makes_a_range_conditional() {
        let strong = strong_tag(&headers(&[("etag", "\"a\"")]));
        assert_eq!(range(7, strong.as_ref()), headers(&[("range", "bytes=7-"), ("if-range", "\"a\"")]));
        assert_eq!(strong_tag(&headers(&[("etag", "W/\"a\"")])), None);
        assert_eq!(range(0, strong.as_ref()), HeaderMap::new());
    }

    #[test]
    fn the_start_of_a_partial_response_is_what_it_says() {
        assert_eq!(start(&headers(&[("content-range", "bytes 500-999/1000")])), 500);
        for bad in ["", "bytes", "bytes */7", "500-999/1000"] {
            assert_eq!(start(&headers(&[("content-range", bad)])), 0, "{bad}");
        }
    }

    #[test]
    fn a_file_is_the_same_by_its_tag_or_else_by_its_size() {
        let of = |pairs: &[(&'static str, &'static str)]| Identity::of(&headers(pairs));
        let tagged = of(&[("etag", "\"a\""), ("content-length", "9")]);
        assert!(tagged.is_still(&tagged.clone()));
        assert!(!tagged.is_still(&of(&[("etag", "\"b\""), ("content-length", "9")])));
        assert!(!tagged.is_still(&of(&[("content-length", "9")])));
        assert!(of(&[("content-length", "9")]).is_still(&of(&[("content-length", "9")])));
        assert!(!of(&[("content-length", "9")]).is_still(&of(&[("content-length", "8")])));
        assert!(!of(&[]).is_still(&of(&[])));
    }

    #[test]
    fn an_encoding_is_known_by_its_names() {
        for (name, known) in [("gzip", Encoding::Gzip), ("X-GZIP ", Encoding::Gzip), ("zstd", Encoding::Zstd)]
        {
            assert_eq!(encoding(&headers(&[("content-encoding", name)])), known);
        }
        assert_eq!(encoding(&headers(&[("content-encoding", "br")])), Encoding::Identity);
        assert_eq!(encoding(&HeaderMap::new()), Encoding::Identity);
    }
}
