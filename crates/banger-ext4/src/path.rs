//! Paths inside the new file system: bytes, relative to its root.

use crate::error::FormatError;

const NAME_MAX: usize = 255;

/// Splits a path into names. Leading slashes and `.` are ignored; `..` is refused.
pub(crate) fn names(path: &[u8]) -> Result<Vec<&[u8]>, FormatError> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(FormatError::PathEscapes { path: shown(path) }),
            name if name.contains(&0) => return Err(FormatError::PathHasNul { path: shown(path) }),
            name if name.len() > NAME_MAX => return Err(FormatError::NameTooLong { path: shown(path) }),
            name => names.push(name),
        }
    }
    Ok(names)
}

/// Returns bytes as text for messages.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
