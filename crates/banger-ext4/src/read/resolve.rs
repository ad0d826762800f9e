//! Resolution of paths with symbolic links, as for a program whose root is this file system.

use std::collections::VecDeque;

use super::error::ReadError;
use super::inode::EntryBody;
use super::reader::Ext4Reader;

/// The number that Linux follows.
const LINKS_MAX: usize = 40;

impl Ext4Reader {
    /// Returns the link-free path that a path leads to; `None` if it leads to nothing. Absolute links begin at the root of
    /// the file system, and `..` does not leave it.
    pub fn resolve(&self, path: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let mut way = names(path);
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = way.pop_front() {
            if name == b".." {
                done.pop();
                continue;
            }
            done.push(name);
            let Some(entry) = self.entry(&done.join(&b'/'))? else { return Ok(None) };
            let EntryBody::Symlink(target) = entry.body else { continue };
            links += 1;
            if links > LINKS_MAX {
                return Ok(None);
            }
            if target.starts_with(b"/") {
                done.clear();
            } else {
                done.pop();
            }
            way = names(&target).into_iter().chain(way).collect();
        }
        Ok(Some(done.join(&b'/')))
    }
}

fn names(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).collect()
}
