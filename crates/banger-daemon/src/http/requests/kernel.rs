//! Kernels that are asked for.

use banger_api::ImportKernel;
use banger_image::{ImportRequest, Replace};

/// Returns what is to be imported.
pub(in crate::http) fn import_request(request: ImportKernel) -> (ImportRequest, Replace) {
    let ImportKernel { from, name, distro, release, sha256, force } = request;
    (ImportRequest { from: from.into(), name, distro, release, sha256 }, Replace::when(force))
}
