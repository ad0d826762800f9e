//! `version`: which program this is.

use std::sync::LazyLock;

use banger_api::API_VERSION;
use serde_json::json;

use crate::error::CliError;
use crate::render;

/// Version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit it was built from, where the build told.
const COMMIT: Option<&str> = option_env!("BANGER_COMMIT");

/// Returns what stands after the name in `banger --version`.
pub(crate) fn line() -> &'static str {
    static LINE: LazyLock<String> = LazyLock::new(|| match COMMIT {
        Some(commit) => format!("{VERSION} (commit {commit})"),
        None => VERSION.to_owned(),
    });
    &LINE
}

/// Prints the version.
pub(crate) fn show(as_json: bool) -> Result<(), CliError> {
    if as_json {
        return render::print_json(&json!({
            "version": VERSION,
            "commit": COMMIT,
            "api_version": API_VERSION,
        }));
    }
    render::print(&format!("banger {}\n", line()))
}
