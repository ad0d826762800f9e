//! What is known of a bundle before it comes, and the reader that checks it on the way.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use banger_model::Sha256;
use banger_sys::id::hex;
use minisign_verify::{PublicKey, Signature, StreamVerifier};
use sha2::{Digest as _, Sha256 as Sha256Hasher};

use super::error::BundleError;

/// A text that is no public key of minisign.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a minisign public key; use the second line of the `.pub` file")]
pub struct MinisignKeyError {
    text: String,
    source: minisign_verify::Error,
}

/// A public key of minisign, as the second line of its `.pub` file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinisignKey {
    text: String,
    key: PublicKey,
}

impl FromStr for MinisignKey {
    type Err = MinisignKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = PublicKey::from_base64(text.trim())
            .map_err(|source| MinisignKeyError { text: text.to_owned(), source })?;
        Ok(Self { text: text.trim().to_owned(), key })
    }
}

impl fmt::Display for MinisignKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What a bundle must be.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) sha256: Option<Sha256>,
    /// The key, and the text of the signature that lies beside the bundle.
    pub(super) signed: Option<(MinisignKey, String)>,
}

/// Reads a bundle to its end and tells whether it is what was expected.
pub(super) struct Checking<'e, R> {
    inner: R,
    expected: &'e Expected,
    hasher: Sha256Hasher,
    verifier: Option<StreamVerifier<'e>>,
}

/// The decoded signature of a bundle.
pub(super) fn signature(expected: &Expected) -> Result<Option<Signature>, BundleError> {
    let signed = expected.signed.as_ref();
    signed.map(|(_, text)| Signature::decode(text).map_err(BundleError::Signature)).transpose()
}

impl<'e, R: Read> Checking<'e, R> {
    pub(super) fn begin(
        inner: R,
        expected: &'e Expected,
        signature: Option<&'e Signature>,
    ) -> Result<Self, BundleError> {
        let verifier = match (&expected.signed, signature) {
            (Some((key, _)), Some(signature)) => {
                let verifier = key.key.verify_stream(signature);
                Some(verifier.map_err(|source| BundleError::NotSigned { key: key.to_string(), source })?)
            }
            (Some(_) | None, _) => None,
        };
        Ok(Self { inner, expected, hasher: Sha256Hasher::new(), verifier })
    }

    /// Reads what is left and compares.
    pub(super) fn finish(mut self) -> Result<(), BundleError> {
        io::copy(&mut self, &mut io::sink()).map_err(BundleError::Read)?;
        let found = hex(&self.hasher.finalize());
        if let Some(expected) = self.expected.sha256.as_ref().filter(|expected| expected.as_str() != found) {
            return Err(BundleError::OtherSha256 { expected: expected.clone(), found });
        }
        match (&self.expected.signed, self.verifier) {
            (Some((key, _)), Some(mut verifier)) => {
                verifier.finalize().map_err(|source| BundleError::NotSigned { key: key.to_string(), source })
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl<R: Read> Read for Checking<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.hasher.update(bytes);
        if let Some(verifier) = &mut self.verifier {
            verifier.update(bytes);
        }
        Ok(count)
    }
}
