//! Digests of blobs: `sha256:` and 64 hexadecimal digits (OCI image spec, "Digests"). Other algorithms are refused: every
//! registry in use has this one.

use std::fmt;
use std::str::FromStr;

use banger_sys::id::hex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::text::plain;

const ALGORITHM: &str = "sha256";
const HEX_LENGTH: usize = 64;

/// The sha256 of a blob.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct BlobDigest(String);

/// A text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid digest; use `sha256:` and 64 digits of 0-9 and a-f")]
pub struct DigestError {
    text: String,
}

impl BlobDigest {
    /// Returns the digest of these bytes.
    pub(crate) fn of(content: &[u8]) -> Self {
        let mut hasher = BlobHasher::default();
        hasher.update(content);
        hasher.finish()
    }

    /// Returns the 64 digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// Returns the first digits, as people compare them.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl FromStr for BlobDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.split_once(':') {
            Some((ALGORITHM, hex)) if hex.len() == HEX_LENGTH && hex.bytes().all(is_hex) => {
                Ok(Self(hex.to_owned()))
            }
            Some(_) | None => Err(DigestError { text: plain(text, 100) }),
        }
    }
}

impl TryFrom<String> for BlobDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{ALGORITHM}:{}", self.0)
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Makes a digest of what passes by.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlobHasher(Sha256);

impl BlobHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> BlobDigest {
        BlobDigest(hex(&self.0.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha256_in_lower_case() {
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(BlobDigest::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(BlobDigest::of(b"abc")));
        let upper = text.to_uppercase().replace("SHA", "sha");
        for bad in ["", "sha256:", "sha256:../../etc", "sha512:00", &upper, &text[..70], &format!("{text}0")]
        {
            assert!(bad.parse::<BlobDigest>().is_err(), "{bad}");
        }
    }
}
