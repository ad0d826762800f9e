//! Paths that travel from a client to the daemon, which has another working directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The reason why a text is not a path that the daemon can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPathError {
    /// A relative path would mean different files to client and daemon.
    #[error("`{}` is not an absolute path", text.escape_debug())]
    Relative {
        /// The rejected text.
        text: String,
    },
    /// A file name cannot contain a NUL byte.
    #[error("the path `{}` contains a null character", text.escape_debug())]
    Null {
        /// The rejected text.
        text: String,
    },
}

/// Absolute path of a file or directory of the host, as text. The file need not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = r"^/[^\u0000]*$"))]
pub struct HostPath(String);

impl HostPath {
    /// Returns the path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl TryFrom<String> for HostPath {
    type Error = HostPathError;

    fn try_from(text: String) -> Result<Self, HostPathError> {
        if !text.starts_with('/') {
            return Err(HostPathError::Relative { text });
        }
        if text.contains('\0') { Err(HostPathError::Null { text }) } else { Ok(Self(text)) }
    }
}

impl From<HostPath> for PathBuf {
    fn from(path: HostPath) -> Self {
        path.0.into()
    }
}

impl From<HostPath> for String {
    fn from(path: HostPath) -> Self {
        path.0
    }
}

impl std::fmt::Display for HostPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_at_the_root() {
        let path = HostPath::try_from("/srv/ä b".to_owned()).unwrap();
        assert_eq!((path.as_path(), path.to_string().as_str()), (Path::new("/srv/ä b"), "/srv/ä b"));
        for (bad, told) in [
            ("", "`` is not an absolute path"),
            ("srv", "`srv` is not an absolute path"),
            ("~/x", "`~/x` is not an absolute path"),
            ("/a\0", "the path `/a\\0` contains a null character"),
        ] {
            assert_eq!(HostPath::try_from(bad.to_owned()).unwrap_err().to_string(), told);
        }
    }
}
