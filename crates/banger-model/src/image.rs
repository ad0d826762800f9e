//! Names of images and kernels. They are used as directory names, so the rule allows only names that are safe there.

use serde::{Deserialize, Serialize};

use crate::name::{check_name, text_type};

text_type!(
    /// Name of an image, such as `debian-bookworm`: 1 to 63 characters of `[a-z0-9._-]`, beginning and ending with a letter
    /// or digit.
    ImageName,
    r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
    |text| check_name("image name", text, "-._", "a–z, 0–9, `-`, `.` and `_`")
);

text_type!(
    /// Name of a kernel, such as `debian-12`: 1 to 63 characters of `[a-z0-9._-]`, beginning and ending with a letter or
    /// digit.
    KernelName,
    r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
    |text| check_name("kernel name", text, "-._", "a–z, 0–9, `-`, `.` and `_`")
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        for name in ["..", ".", "a/b", "../a", "", ".hidden", "a\0b"] {
            assert!(name.parse::<ImageName>().is_err(), "{name:?}");
            assert!(name.parse::<KernelName>().is_err(), "{name:?}");
        }
        assert!("generic-6.12".parse::<KernelName>().is_ok());
    }
}
