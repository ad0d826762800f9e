//! SSH keys: one of the user's for all VMs, one host key per VM. Ours alone: the user's `~/.ssh` is never touched.

use std::io;
use std::path::{Path, PathBuf};

use banger_image::{AuthorizedKey, AuthorizedKeyError, read_text};
use banger_sys::files::{FileError, create_private_directory, write_atomic};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

/// Longest key that is read.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key could be made.
    #[error("cannot create an SSH key")]
    Generate(#[source] ssh_key::Error),
    /// The key's file cannot be read.
    #[error("cannot read the SSH key `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key is there, but makes no sense.
    #[error("cannot read the SSH key `{}`; move it away to get a new one", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ssh_key::Error,
    },
    /// The public half makes no sense.
    #[error("cannot use the SSH key")]
    Parse(#[source] AuthorizedKeyError),
    /// The key could not be kept.
    #[error("cannot save the SSH key")]
    Write(#[source] FileError),
}

/// The user's key.
#[derive(Clone, Debug)]
pub struct UserKey {
    /// Where its private half is.
    pub path: PathBuf,
    /// Its public half.
    pub authorized_key: AuthorizedKey,
}

impl UserKey {
    /// Returns the key of this state directory; makes it when it is missing.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_create(state: &Path) -> Result<Self, KeyError> {
        let directory = state.join("ssh");
        create_private_directory(&directory).map_err(KeyError::Write)?;
        let path = directory.join("id_ed25519");
        if !path.exists() {
            let pair = KeyPair::generate("banger")?;
            write_atomic(&path, pair.private.as_bytes(), 0o600).map_err(KeyError::Write)?;
        }
        let text = read_text(&path, KEY_BYTES_MAX)
            .map_err(|source| KeyError::Open { path: path.clone(), source })?;
        let key = PrivateKey::from_openssh(&text)
            .map_err(|source| KeyError::Read { path: path.clone(), source })?;
        let public_line =
            key.public_key().to_openssh().map_err(|source| KeyError::Read { path: path.clone(), source })?;
        let public_file = directory.join("id_ed25519.pub");
        if !public_file.exists() {
            write_atomic(&public_file, format!("{public_line}\n").as_bytes(), 0o644)
                .map_err(KeyError::Write)?;
        }
        let authorized_key = public_line.parse().map_err(KeyError::Parse)?;
        Ok(Self { path, authorized_key })
    }
}

/// A new key in OpenSSH's forms.
pub struct KeyPair {
    /// Private half.
    pub private: String,
    /// Public line.
    pub public_line: String,
}

impl KeyPair {
    /// Makes an Ed25519 key.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate(comment: &str) -> Result<Self, KeyError> {
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(KeyError::Generate)?;
        key.set_comment(comment);
        Ok(Self {
            private: key.to_openssh(LineEnding::LF).map_err(KeyError::Generate)?.to_string(),
            public_line: key.public_key().to_openssh().map_err(KeyError::Generate)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let state = tempfile::tempdir().unwrap();
        let first = UserKey::load_or_create(state.path()).unwrap();
        let second = UserKey::load_or_create(state.path()).unwrap();
        assert_eq!(first.authorized_key, second.authorized_key);
        assert!(first.authorized_key.line().starts_with("ssh-ed25519 "));
        assert_eq!(std::fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_named_and_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = UserKey::load_or_create(state.path()).unwrap().path;
        std::fs::write(&path, "garbage").unwrap();
        assert!(matches!(UserKey::load_or_create(state.path()), Err(KeyError::Read { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "garbage");
    }
}
