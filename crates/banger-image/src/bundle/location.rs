//! Where a bundle is: a file of this host, or an address.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use banger_fetch::is_on_this_host;
use reqwest::Url;

/// A text that is no place of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleLocationError {
    /// Without TLS, somebody on the way could put another image there.
    #[error("`{0}` would be fetched without TLS; use https://")]
    Plain(String),
    /// An address of another kind, or none that makes sense.
    #[error("`{0}` is not a valid bundle location; use an https:// URL or the path of a file")]
    Unknown(String),
    /// The daemon has another working directory than whoever asks.
    #[error("the path `{0}` of the bundle is not absolute")]
    Relative(String),
}

/// Where a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleLocation {
    /// A file; absolute.
    File(PathBuf),
    /// An address: HTTPS, or HTTP on this host.
    Url(Url),
}

impl BundleLocation {
    /// Returns where the bundle's signature is.
    pub(crate) fn signature(&self) -> Self {
        match self {
            Self::File(path) => {
                let mut path = path.clone().into_os_string();
                path.push(".minisig");
                Self::File(path.into())
            }
            Self::Url(url) => {
                let mut url = url.clone();
                url.set_path(&format!("{}.minisig", url.path()));
                Self::Url(url)
            }
        }
    }

    /// Returns the name of its file without what says that it is a bundle.
    #[must_use]
    pub fn stem(&self) -> String {
        let name = match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Url(url) => url.path().rsplit('/').next().unwrap_or_default().to_owned(),
        };
        [".tar.zst", ".tzst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned()
    }
}

impl FromStr for BundleLocation {
    type Err = BundleLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') {
            return Ok(Self::File(text.into()));
        }
        if !text.contains("://") {
            return Err(BundleLocationError::Relative(text.to_owned()));
        }
        let url = Url::parse(text).ok().filter(Url::has_host);
        match url {
            Some(url) if url.scheme() == "https" || (url.scheme() == "http" && is_on_this_host(&url)) => {
                Ok(Self::Url(url))
            }
            Some(url) if url.scheme() == "http" => Err(BundleLocationError::Plain(text.to_owned())),
            Some(_) | None => Err(BundleLocationError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for BundleLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Url(url) => {
                // What stands before the host or in a query may be secret.
                let mut shown = url.clone();
                shown.set_query(None);
                let _ = shown.set_username("");
                let _ = shown.set_password(None);
                write!(formatter, "{shown}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_a_file_or_comes_over_tls() {
        let told = |text: &str| match text.parse::<BundleLocation>() {
            Ok(BundleLocation::File(path)) => format!("file {}", path.display()),
            Ok(location) => format!("url {location} {} {}", location.stem(), location.signature()),
            Err(error) => error.to_string(),
        };
        let texts = [
            "/a/b.tar.zst",
            "b.tar.zst",
            "https://user:secret@example.org/images/dev.tar.zst?token=secret",
            "http://127.0.0.1:8080/dev.tzst",
            "http://[::1]/dev",
            "http://localhost/dev",
            "http://example.org/dev.tar.zst",
            "http://127.0.0.1.example.org/dev",
            "ftp://example.org/dev",
            "https://",
        ];
        let table: String = texts.into_iter().map(|text| told(text) + "\n").collect();
        insta::assert_snapshot!(table, @r"
        file /a/b.tar.zst
        the path `b.tar.zst` of the bundle is not absolute
        url https://example.org/images/dev.tar.zst dev https://example.org/images/dev.tar.zst.minisig
        url http://127.0.0.1:8080/dev.tzst dev http://127.0.0.1:8080/dev.tzst.minisig
        url http://[::1]/dev dev http://[::1]/dev.minisig
        url http://localhost/dev dev http://localhost/dev.minisig
        `http://example.org/dev.tar.zst` would be fetched without TLS; use https://
        `http://127.0.0.1.example.org/dev` would be fetched without TLS; use https://
        `ftp://example.org/dev` is not a valid bundle location; use an https:// URL or the path of a file
        `https://` is not a valid bundle location; use an https:// URL or the path of a file
        ");
    }
}
