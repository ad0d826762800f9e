//! Stacked layers. Every name records its layer, so that hiding entries of lower layers does not affect those of the same
//! layer, whatever their order.
//!
//! Nothing here is recursive, because the depth of a tree is chosen by its author, and our stack is limited.

use std::borrow::Cow;

use super::{Body, Link, NodeId, Tree};
use crate::entry::Found;
use crate::error::FormatError;
use crate::path::{names, shown};
use crate::write::attributes::Attributes;
use crate::write::extent::Extent;
use crate::write::xattr::Xattrs;

/// Maximum number of links that Linux follows in one path (`MAXSYMLINKS`).
const LINKS_FOLLOWED_MAX: u32 = 40;
/// The layer of names that are never hidden, because no layer is later.
pub(super) const ALWAYS: u32 = u32::MAX;

impl Tree {
    /// Starts the next layer, to which names belong from now on.
    pub(crate) fn begin_layer(&mut self) {
        self.layer = self.layer.saturating_add(1).min(ALWAYS - 1);
    }

    /// Returns the entry at a path; no link is followed.
    pub(crate) fn look_up(&self, path: &[u8]) -> Result<Option<Found>, FormatError> {
        Ok(self.find(path)?.map(|id| match &self.node(id).body {
            Body::Directory(_) => Found::Directory,
            Body::File { size, .. } => Found::File { size: *size },
            Body::Symlink(target) => Found::Symlink(target.to_vec()),
            Body::CharDevice { .. } | Body::BlockDevice { .. } | Body::Fifo | Body::Socket => Found::Special,
        }))
    }

    /// Returns the path with the links of all names except the last followed, as for a process with this root.
    pub(crate) fn resolve<'p>(&self, path: &'p [u8]) -> Result<Cow<'p, [u8]>, FormatError> {
        let wanted = names(path)?;
        let mut waiting: Vec<Vec<u8>> = Vec::new();
        // Each name with the directory in which it is looked up. Below a missing directory there are no links.
        let mut place: Vec<(Option<NodeId>, Vec<u8>)> = Vec::new();
        let mut current = Some(NodeId::ROOT);
        let mut links = 0;
        let (last, parents) = match wanted.split_last() {
            Some((last, parents)) if self.has_link(parents) => (last, parents),
            Some(_) | None => return Ok(Cow::Borrowed(path)),
        };
        waiting.extend(parents.iter().rev().map(|name| name.to_vec()));
        while let Some(name) = waiting.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    // The parent of the root is the root.
                    current = place.pop().map_or(Some(NodeId::ROOT), |(parent, _)| parent);
                    continue;
                }
                _ => {}
            }
            let child = current.and_then(|directory| self.child(directory, &name));
            if let Some(Body::Symlink(target)) = child.map(|child| &self.node(child).body) {
                links += 1;
                if links > LINKS_FOLLOWED_MAX {
                    return Err(FormatError::TooManySymlinks { path: shown(path) });
                }
                if target.starts_with(b"/") {
                    place.clear();
                    current = Some(NodeId::ROOT);
                }
                waiting.extend(target.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec));
                continue;
            }
            place.push((current, name));
            current = child;
        }
        let mut resolved: Vec<&[u8]> = place.iter().map(|(_, name)| name.as_slice()).collect();
        resolved.push(last);
        Ok(Cow::Owned(resolved.join(&b'/')))
    }

    /// Tells whether one of these names, from the root on, is a link.
    fn has_link(&self, names: &[&[u8]]) -> bool {
        let mut id = NodeId::ROOT;
        for name in names {
            let Some(child) = self.child(id, name) else { return false };
            if matches!(self.node(child).body, Body::Symlink(_)) {
                return true;
            }
            id = child;
        }
        false
    }

    /// Removes the entry at a path and everything below it. Returns the extents that are no longer used.
    pub(crate) fn remove(&mut self, path: &[u8]) -> Result<Vec<Extent>, FormatError> {
        self.hide(path, ALWAYS)
    }

    /// Removes the entries of earlier layers at a path and below it.
    pub(crate) fn remove_older(&mut self, path: &[u8]) -> Result<Vec<Extent>, FormatError> {
        self.hide(path, self.layer)
    }

    /// Removes the entries of earlier layers below a directory.
    pub(crate) fn clear_older(&mut self, path: &[u8]) -> Result<Vec<Extent>, FormatError> {
        match self.find(path)? {
            Some(id) => Ok(self.clear(id, self.layer)),
            None => Ok(Vec::new()),
        }
    }

    /// Removes names of layers before `layer`.
    fn hide(&mut self, path: &[u8], layer: u32) -> Result<Vec<Extent>, FormatError> {
        let names = names(path)?;
        let Some((name, parents)) = names.split_last() else {
            return Err(FormatError::PathIsRoot { path: shown(path) });
        };
        let Some(parent) = self.find(&parents.join(&b'/'))? else { return Ok(Vec::new()) };
        let Some(child) = self.child(parent, name) else { return Ok(Vec::new()) };
        let mut freed = self.clear(child, layer);
        let entries = self.directory_mut(parent).map(|directory| &mut directory.entries);
        // The name is taken out and put back if it stays, as with the names below it.
        if let Some((name, link)) = entries.and_then(|entries| entries.remove_entry(*name)) {
            self.keep_or_drop(parent, name, link, layer, &mut freed);
        }
        Ok(freed)
    }

    /// Removes older names below a directory. Directories that contain newer ones stay, as if they were made for them.
    fn clear(&mut self, top: NodeId, layer: u32) -> Vec<Extent> {
        let mut directories = vec![top];
        let mut seen = 0;
        while let Some(id) = directories.get(seen).copied() {
            if let Body::Directory(directory) = &self.node(id).body {
                let children = directory.entries.values().map(|link| link.node);
                directories
                    .extend(children.filter(|child| matches!(self.node(*child).body, Body::Directory(_))));
            }
            seen += 1;
        }
        let mut freed = Vec::new();
        for id in directories.into_iter().rev() {
            let entries = self.directory_mut(id).map(|directory| std::mem::take(&mut directory.entries));
            for (name, link) in entries.unwrap_or_default() {
                self.keep_or_drop(id, name, link, layer, &mut freed);
            }
        }
        freed
    }

    /// Decides about one name that was taken out of its directory, after the names below it.
    fn keep_or_drop(
        &mut self,
        parent: NodeId,
        name: Box<[u8]>,
        link: Link,
        layer: u32,
        freed: &mut Vec<Extent>,
    ) {
        let mut link = link;
        let is_older = link.layer < layer;
        let attributes = Attributes::of_root(0o755, self.created_at);
        let current = self.layer;
        let node = self.node_mut(link.node);
        match &node.body {
            Body::Directory(directory) if is_older && !directory.entries.is_empty() => {
                (node.attributes, node.xattrs) = (attributes, Xattrs::default());
                link.layer = current;
            }
            Body::Directory(_) if is_older => {
                self.vacate(link.node);
                self.forget(&name);
                if let Some(parent) = self.directory_mut(parent) {
                    parent.subdirectories -= 1;
                }
                return;
            }
            Body::File { .. }
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket
                if is_older =>
            {
                freed.extend(self.take_name(link.node).as_slice());
                self.forget(&name);
                return;
            }
            Body::Directory(_)
            | Body::File { .. }
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket => {}
        }
        if let Some(parent) = self.directory_mut(parent) {
            parent.entries.insert(name, link);
        }
    }

    /// Makes a name that no layer can hide.
    pub(super) fn keep_always(&mut self, parent: NodeId, name: &[u8]) {
        let link = self.directory_mut(parent).and_then(|directory| directory.entries.get_mut(name));
        if let Some(link) = link {
            link.layer = ALWAYS;
        }
    }
}
