//! Which program this is.

use std::sync::LazyLock;

/// Version of the program.
pub(crate) const VERSION: &str = banger_client::VERSION;

/// Commit it was built from, where the build told.
pub(crate) const COMMIT: Option<&str> = option_env!("BANGER_COMMIT");

/// Returns what stands after the name in `banger --version`.
pub(crate) fn line() -> &'static str {
    static LINE: LazyLock<String> = LazyLock::new(|| match COMMIT {
        Some(commit) => format!("{VERSION} (commit {commit})"),
        None => VERSION.to_owned(),
    });
    &LINE
}
