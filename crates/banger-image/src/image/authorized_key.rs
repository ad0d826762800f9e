//! The key that lets its user into a guest: its line, its fingerprint, and how a home is made to accept it.

use std::fmt;
use std::str::FromStr;

use banger_ext4::{Ext4Edit, FormatError, ReadError};
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, PublicKey};

/// Larger files are not lists of keys.
const LIST_BYTES_MAX: u64 = 1 << 20;
const DIRECTORY: &[u8] = b".ssh";
const LIST: &[u8] = b".ssh/authorized_keys";

/// A text that is no public key.
#[derive(Debug, thiserror::Error)]
#[error("`{line}` is not a public key of OpenSSH")]
pub struct AuthorizedKeyError {
    line: String,
    source: ssh_key::Error,
}

/// The public key of the user, as a line of `authorized_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    line: String,
    fingerprint: KeyFingerprint,
}

impl AuthorizedKey {
    /// Returns its line, without an end.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &KeyFingerprint {
        &self.fingerprint
    }
}

impl FromStr for AuthorizedKey {
    type Err = AuthorizedKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let line = text.trim();
        let key = PublicKey::from_openssh(line)
            .map_err(|source| AuthorizedKeyError { line: line.to_owned(), source })?;
        Ok(Self { line: line.to_owned(), fingerprint: KeyFingerprint::of(&key) })
    }
}

/// Fingerprint of a public key as `ssh-keygen -lf` prints it: `SHA256:` and 43 characters of base 64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyFingerprint(String);

impl KeyFingerprint {
    fn of(key: &PublicKey) -> Self {
        Self(key.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no fingerprint.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a fingerprint (`SHA256:` and 43 characters)")]
pub struct KeyFingerprintError(String);

impl TryFrom<String> for KeyFingerprint {
    type Error = KeyFingerprintError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse::<ssh_key::Fingerprint>() {
            Ok(ssh_key::Fingerprint::Sha256(_)) => Ok(Self(text)),
            Ok(_) | Err(_) => Err(KeyFingerprintError(text)),
        }
    }
}

impl From<KeyFingerprint> for String {
    fn from(fingerprint: KeyFingerprint) -> Self {
        fingerprint.0
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Makes a home let the key's owner in, whatever the image has in its place: the one way for work-seeds and work disks.
///
/// sshd's `StrictModes` looks at all three: the home is 0755, `.ssh` 0700, `authorized_keys` 0600, all of root.
pub(crate) fn provision_authorized_key(
    home: &mut Ext4Edit<'_>,
    key: &AuthorizedKey,
) -> Result<(), FormatError> {
    let present = match home.read_old(LIST, LIST_BYTES_MAX) {
        Ok(present) => present.unwrap_or_default(),
        Err(ReadError::TooLarge { .. }) => Vec::new(),
        Err(source) => return Err(FormatError::ReadSource { source }),
    };
    home.ensure_root_permissions()?;
    home.make_directory(DIRECTORY, 0o700)?;
    home.write(LIST, 0o600, &with_key(&present, key))
}

/// Returns a list of keys with this one in it, once. All other lines stay, whatever they are.
fn with_key(present: &[u8], key: &AuthorizedKey) -> Vec<u8> {
    let is_ours = |line: &&[u8]| fingerprint(line).as_ref() == Some(&key.fingerprint);
    let lines = present.split_inclusive(|byte| *byte == b'\n');
    let mut list = lines.filter(|line| !is_ours(line)).collect::<Vec<_>>().concat();
    if list.last().is_some_and(|last| *last != b'\n') {
        list.push(b'\n');
    }
    list.extend_from_slice(key.line.as_bytes());
    list.push(b'\n');
    list
}

/// Returns the fingerprint of the key in a line without options.
fn fingerprint(line: &[u8]) -> Option<KeyFingerprint> {
    let key = PublicKey::from_openssh(str::from_utf8(line).ok()?.trim()).ok()?;
    Some(KeyFingerprint::of(&key))
}

#[cfg(test)]
#[path = "authorized_key_tests.rs"]
mod tests;
