//! What homes of VMs are made of: the `/root` of an image, or a file system that is nothing but a home.

use std::path::{Path, PathBuf};

use banger_ext4::{Ext4Edit, Ext4Reader, FormatError, FormatOptions, ReadError};

use super::authorized_key::{AuthorizedKey, provision_authorized_key};

/// Where the content of `/root` is in an image's root.
const ROOT_HOME: &[u8] = b"root";
/// Where a link `/root` cannot lead to: the guest has file systems of the kernel there, and makes a directory of the link.
const NO_HOMES: [&[u8]; 5] = [b"", b"dev", b"proc", b"run", b"sys"];
/// Files that every home starts with where the image has none of that name.
const ADDED: &[(&[u8], &[u8])] = &[(b".hushlogin", b"")];

/// Where a home's content comes from: a directory of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HomeSource {
    pub(crate) file: PathBuf,
    pub(crate) directory: &'static [u8],
}

impl HomeSource {
    /// The `/root` of an image's root.
    pub(crate) fn of_root(rootfs: PathBuf) -> Self {
        Self { file: rootfs, directory: ROOT_HOME }
    }

    /// A file system that is nothing but a home.
    pub(crate) fn whole(file: PathBuf) -> Self {
        Self { file, directory: b"" }
    }

    /// Begins a file system that has this home and lets the key in.
    pub(crate) fn begin<'r>(
        &self,
        reader: &'r Ext4Reader,
        path: &Path,
        options: FormatOptions,
        key: &AuthorizedKey,
    ) -> Result<Ext4Edit<'r>, FormatError> {
        let mut home = Ext4Edit::begin(reader, &self.place(reader)?, path, options)?;
        for (name, content) in ADDED {
            if !home.exists(name)? {
                home.write(name, 0o644, content)?;
            }
        }
        provision_authorized_key(&mut home, key)?;
        Ok(home)
    }

    /// Tells whether the file system is nothing but a home.
    pub(crate) fn is_whole(&self) -> bool {
        self.directory.is_empty()
    }

    /// Returns where the content is, behind all links: an image of ostree has `root -> var/roothome`. Where it leads to
    /// nothing, nothing is there.
    pub(crate) fn place(&self, reader: &Ext4Reader) -> Result<Vec<u8>, ReadError> {
        if self.is_whole() {
            return Ok(Vec::new());
        }
        let found = reader.resolve(self.directory)?;
        Ok(found
            .filter(|place| !NO_HOMES.contains(&place.as_slice()))
            .unwrap_or_else(|| self.directory.to_vec()))
    }
}
