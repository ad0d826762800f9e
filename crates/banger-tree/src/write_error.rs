//! The reasons why a tree cannot be written.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::DEPTH_MAX;

/// The tree cannot be written. Files that were complete before stay.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum WriteError {
    #[error("there is no directory `{}`", path.display())]
    NoDirectory { path: PathBuf },
    #[error("`{}` is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("`{}` is a dangling link", path.display())]
    DanglingLink { path: PathBuf },
    #[error("`{}` is {kind}, which is not replaced", path.display())]
    Special { path: PathBuf, kind: &'static str },
    #[error("cannot open `{}`", path.display())]
    Open { path: PathBuf, source: Errno },
    #[error("`{}` already exists and is not a directory", path.display())]
    NoDirectoryThere { path: PathBuf },
    #[error("`{}` already exists and is {kind}", path.display())]
    Occupied { path: PathBuf, kind: &'static str },
    #[error("cannot create the directory `{}`", path.display())]
    MakeDirectory { path: PathBuf, source: Errno },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: Errno },
    #[error("cannot set owner, permissions and time of `{}`", path.display())]
    SetMetadata { path: PathBuf, source: Errno },
    #[error("`{}` is nested deeper than {DEPTH_MAX} directories", path.display())]
    TooDeep { path: PathBuf },
    #[error("the tree is not well-formed: {what}")]
    Malformed { what: &'static str },
    #[error("the tree is incomplete")]
    CutOff,
}
