//! Names of images and kernels. They are folder names, so the rule keeps them safe as such.

use serde::{Deserialize, Serialize};

use crate::name::{check_name, text_type};

text_type!(
    /// Name of an image, as in `debian-bookworm`: 1 to 63 characters of `[a-z0-9._-]`, a letter or digit at the ends.
    ImageName,
    |text| check_name("image name", text, "-._", "a–z, 0–9, `-`, `.` and `_`")
);

text_type!(
    /// Name of a kernel, as in `debian-12`: 1 to 63 characters of `[a-z0-9._-]`, a letter or digit at the ends.
    KernelName,
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
