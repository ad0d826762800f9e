//! The name of an entry in its directory.

use std::ffi::CString;
use std::fmt;

/// Longest name in Linux's file systems (`NAME_MAX` of `limits.h`).
const NAME_BYTES_MAX: usize = 255;

/// One component of a path: not empty, not `.` or `..`, and without `/`. Any other bytes are allowed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryName(CString);

/// The bytes are not a valid name of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid file name", name.escape_ascii())]
pub struct NameError {
    name: Vec<u8>,
}

impl EntryName {
    /// Checks bytes that name an entry of a directory.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(name: &[u8]) -> Result<Self, NameError> {
        let is_component = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
        if is_component
            && name.len() <= NAME_BYTES_MAX
            && let Ok(name) = CString::new(name)
        {
            return Ok(Self(name));
        }
        Err(NameError { name: name.iter().copied().take(NAME_BYTES_MAX).collect() })
    }

    /// Returns the bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn as_c_str(&self) -> &std::ffi::CStr {
        &self.0
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for bad in [&b""[..], b".", b"..", b"/", b"a/b", b"../x", b"a\0b", &[b'x'; 256]] {
            assert!(EntryName::new(bad).is_err(), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b"..a", b" ", b"\n", b"\xff\xfe", b"-rf", &[b'x'; 255]] {
            assert_eq!(EntryName::new(good).unwrap().as_bytes(), good);
        }
    }

    proptest! {
        #[test]
        fn a_name_stays_one_component(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(name) = EntryName::new(&bytes) {
                use std::os::unix::ffi::OsStrExt as _;
                let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
                let components: Vec<_> = path.components().collect();
                prop_assert!(matches!(components.as_slice(), [std::path::Component::Normal(_)]));
            }
        }
    }
}
