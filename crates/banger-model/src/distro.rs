//! Distributions whose kernel and module layout banger knows, and the digest that identifies a downloaded file.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// A distribution, by its layout of kernel and modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Distro {
    /// Debian and distributions with its layout.
    Debian,
    /// Void Linux.
    Void,
    /// Alpine Linux.
    Alpine,
}

words! {
    Distro as "a supported distribution" { Debian = "debian", Void = "void", Alpine = "alpine" }
}

impl Distro {
    /// Returns the distribution's name for x86-64.
    #[must_use]
    pub fn arch(self) -> &'static str {
        match self {
            Self::Debian => "amd64",
            Self::Void | Self::Alpine => "x86_64",
        }
    }
}

impl std::fmt::Display for Distro {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A sha256: 64 hexadecimal digits, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = r"^[0-9a-fA-F]{64}$"))]
pub struct Sha256(String);

/// The text is not a valid sha256.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid SHA-256 digest; it has 64 hexadecimal digits")]
pub struct BadSha256(pub String);

impl Sha256 {
    /// Returns the digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sha256 {
    type Error = BadSha256;

    fn try_from(text: String) -> Result<Self, BadSha256> {
        if text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadSha256(text))
        }
    }
}

impl std::str::FromStr for Sha256 {
    type Err = BadSha256;

    fn from_str(text: &str) -> Result<Self, BadSha256> {
        Self::try_from(text.to_owned())
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.0
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_its_name_only() {
        for distro in Distro::ALL {
            assert_eq!(distro.as_str().parse(), Ok(distro));
            assert_eq!(distro.to_string(), distro.as_str());
        }
        assert_eq!(Distro::ALL.map(Distro::arch), ["amd64", "x86_64", "x86_64"]);
        let error = "Gentoo".parse::<Distro>().unwrap_err();
        assert_eq!(error.to_string(), "`Gentoo` is not a supported distribution; use debian, void or alpine");
    }

    #[test]
    fn a_digest_has_64_digits_in_any_case() {
        let digest: Sha256 = "AB".repeat(32).parse().unwrap();
        assert_eq!(digest.as_str(), "ab".repeat(32));
        assert_eq!((digest.to_string(), String::from(digest.clone())), ("ab".repeat(32), "ab".repeat(32)));
        for bad in
            ["", "ab", &"g".repeat(64), &"a".repeat(63), &format!("{} ", "a".repeat(63)), &"ä".repeat(32)]
        {
            assert!(bad.parse::<Sha256>().is_err(), "{bad:?}");
        }
    }
}
