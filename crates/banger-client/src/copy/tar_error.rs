//! Why a tar cannot be copied.

use std::io;

/// Why stdin is not a valid tar that can be written anywhere.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum TarError {
    #[error("stdin is not a valid tar")]
    Read(#[source] io::Error),
    #[error("the tar contains `{path}`, which leads out of the destination")]
    LeadsOut { path: String },
    #[error("the tar ends within `{path}`")]
    Short { path: String },
    /// Whoever takes the items is gone, and tells why.
    #[error("nobody takes it")]
    SinkGone,
}
