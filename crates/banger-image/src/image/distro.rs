//! What a root says its distribution is.

use banger_ext4::Ext4Reader;

/// Where a distribution says what it is; the first is usually a link to the second.
const OS_RELEASE: [&str; 2] = ["usr/lib/os-release", "etc/os-release"];
const OS_RELEASE_BYTES_MAX: u64 = 64 << 10;

/// Returns the distribution's own word for itself, or nothing.
pub(crate) fn distro_of(root: &Ext4Reader) -> String {
    let text = OS_RELEASE.iter().find_map(|path| root.read(path.as_bytes(), OS_RELEASE_BYTES_MAX).ok()?);
    let text = text.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    let is_plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c);
    id.unwrap_or_default().trim_matches(['"', '\'']).chars().take_while(is_plain).collect()
}
