//! The tree of names and inodes in memory, until the disk is complete. File contents are on the disk already.

use std::collections::BTreeMap;

use crate::entry::Metadata;
use crate::error::FormatError;
use crate::extent::Extent;
use crate::path::{names, shown};
use crate::xattr::Xattrs;

mod layers;

const LINKS_MAX: u32 = 65000;

/// An inode of the tree; made by the tree alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Owner, permissions and times as the inode keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_nanos: u32,
}

impl Attributes {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            permissions: crate::bytes::low16(metadata.mode & 0o7777),
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime,
            mtime_nanos: metadata.mtime_nanos.min(999_999_999),
        }
    }

    pub(crate) fn of_root(permissions: u16, created_at: i64) -> Self {
        Self { permissions, uid: 0, gid: 0, mtime: created_at, mtime_nanos: 0 }
    }
}

#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) parent: NodeId,
    pub(crate) entries: BTreeMap<Box<[u8]>, Link>,
    pub(crate) subdirectories: u32,
}

/// What a name leads to, and the layer that gave it the name. The layer is the name's and not the node's: a later layer
/// may give a file of an earlier one another name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(super) layer: u32,
}

#[derive(Debug)]
pub(crate) enum Body {
    Directory(Directory),
    File { size: u64, extents: Box<[Extent]> },
    Symlink(Box<[u8]>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
    Socket,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) attributes: Attributes,
    pub(crate) xattrs: Xattrs,
    /// Names of something that is no directory; 0 when it was replaced.
    pub(crate) names: u32,
    pub(crate) body: Body,
}

impl Node {
    pub(crate) fn is_live(&self) -> bool {
        self.names > 0
    }
}

#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    created_at: i64,
    /// Every name that is given now belongs to this layer.
    layer: u32,
}

impl Tree {
    /// Returns a tree with a root and `lost+found`, which is therefore the first inode after the root.
    pub(crate) fn new(created_at: i64) -> Self {
        let mut tree = Self { nodes: Vec::new(), created_at, layer: 0 };
        tree.push_directory(NodeId::ROOT, Attributes::of_root(0o755, created_at), Xattrs::default());
        let lost_found =
            tree.push_directory(NodeId::ROOT, Attributes::of_root(0o700, created_at), Xattrs::default());
        tree.link_directory(NodeId::ROOT, b"lost+found", lost_found);
        // Checkers want it, so no layer may hide it.
        tree.keep_always(NodeId::ROOT, b"lost+found");
        tree
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from this tree, which never drops a node")]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from this tree, which never drops a node")]
    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// Returns all nodes in the order they were made, also those that were replaced.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index), node))
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a directory, or gives one that exists new attributes.
    pub(crate) fn add_directory(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        xattrs: Xattrs,
    ) -> Result<(), FormatError> {
        let names = names(path)?;
        let id = match names.split_last() {
            None => NodeId::ROOT,
            Some((name, parents)) => {
                let parent = self.make_parents(path, parents)?;
                match self.claim(parent, name) {
                    Some(child) => child,
                    None => self.make_directory(parent, name),
                }
            }
        };
        let node = self.node_mut(id);
        match node.body {
            Body::Directory(_) => {
                node.attributes = attributes;
                node.xattrs = xattrs;
                Ok(())
            }
            Body::File { .. }
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket => Err(FormatError::ReplaceByDirectory { path: shown(path) }),
        }
    }

    /// Makes the parents of something that is no directory, and checks that its name may be taken.
    pub(crate) fn prepare<'p>(&mut self, path: &'p [u8]) -> Result<Place<'p>, FormatError> {
        let names = names(path)?;
        let Some((name, parents)) = names.split_last() else {
            return Err(FormatError::PathIsRoot { path: shown(path) });
        };
        let parent = self.make_parents(path, parents)?;
        if let Some(child) = self.child(parent, name)
            && matches!(self.node(child).body, Body::Directory(_))
        {
            return Err(FormatError::ReplaceDirectory { path: shown(path) });
        }
        Ok(Place { parent, name })
    }

    /// Puts a new node in its place. Returns the extents of a file that has lost its last name by this.
    pub(crate) fn place(&mut self, place: &Place<'_>, node: Node) -> Box<[Extent]> {
        let id = self.push(node);
        self.link(place, id)
    }

    /// Gives a file one more name.
    pub(crate) fn add_hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<Box<[Extent]>, FormatError> {
        let Some(id) = self.find(target)? else {
            return Err(FormatError::LinkTargetMissing { path: shown(path), target: shown(target) });
        };
        let node = self.node(id);
        if matches!(node.body, Body::Directory(_)) {
            return Err(FormatError::LinkTargetIsDirectory { path: shown(path), target: shown(target) });
        }
        if node.names >= LINKS_MAX {
            return Err(FormatError::TooManyLinks { path: shown(path) });
        }
        let place = self.prepare(path)?;
        if self.child(place.parent, place.name) == Some(id) {
            self.claim(place.parent, place.name);
            return Ok(Box::default());
        }
        self.node_mut(id).names += 1;
        Ok(self.link(&place, id))
    }

    pub(super) fn find(&self, path: &[u8]) -> Result<Option<NodeId>, FormatError> {
        let mut id = NodeId::ROOT;
        for name in names(path)? {
            match self.child(id, name) {
                Some(child) => id = child,
                None => return Ok(None),
            }
        }
        Ok(Some(id))
    }

    fn make_parents(&mut self, path: &[u8], names: &[&[u8]]) -> Result<NodeId, FormatError> {
        let mut id = NodeId::ROOT;
        for name in names {
            id = match self.child(id, name) {
                Some(child) if matches!(self.node(child).body, Body::Directory(_)) => child,
                Some(_) => return Err(FormatError::ParentNotDirectory { path: shown(path) }),
                None => self.make_directory(id, name),
            };
        }
        Ok(id)
    }

    fn make_directory(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let attributes = Attributes::of_root(0o755, self.created_at);
        let id = self.push_directory(parent, attributes, Xattrs::default());
        self.link_directory(parent, name, id);
        id
    }

    fn push_directory(&mut self, parent: NodeId, attributes: Attributes, xattrs: Xattrs) -> NodeId {
        let directory = Directory { parent, entries: BTreeMap::new(), subdirectories: 0 };
        self.push(Node { attributes, xattrs, names: 1, body: Body::Directory(directory) })
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.node(parent).body {
            Body::Directory(directory) => directory.entries.get(name).map(|link| link.node),
            Body::File { .. }
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket => None,
        }
    }

    /// Makes a name that exists one of the current layer's.
    fn claim(&mut self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let layer = self.layer;
        let link = self.directory_mut(parent)?.entries.get_mut(name)?;
        link.layer = link.layer.max(layer);
        Some(link.node)
    }

    fn link(&mut self, place: &Place<'_>, id: NodeId) -> Box<[Extent]> {
        match self.insert(place.parent, place.name, id) {
            Some(replaced) => self.take_name(replaced),
            None => Box::default(),
        }
    }

    /// Takes a name from something that is no directory. Returns the extents of a file that has lost its last name.
    pub(super) fn take_name(&mut self, id: NodeId) -> Box<[Extent]> {
        let node = self.node_mut(id);
        node.names -= 1;
        if node.names > 0 {
            return Box::default();
        }
        node.xattrs = Xattrs::default();
        // The node stays for the sake of the others' ids; what it held goes.
        match std::mem::replace(&mut node.body, Body::Fifo) {
            Body::File { extents, .. } => extents,
            Body::Directory(_)
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket => Box::default(),
        }
    }

    fn link_directory(&mut self, parent: NodeId, name: &[u8], id: NodeId) {
        self.insert(parent, name, id);
        if let Some(directory) = self.directory_mut(parent) {
            directory.subdirectories += 1;
        }
    }

    fn insert(&mut self, parent: NodeId, name: &[u8], id: NodeId) -> Option<NodeId> {
        let link = Link { node: id, layer: self.layer };
        let replaced = self.directory_mut(parent)?.entries.insert(name.into(), link)?;
        Some(replaced.node)
    }

    pub(super) fn directory_mut(&mut self, id: NodeId) -> Option<&mut Directory> {
        match &mut self.node_mut(id).body {
            Body::Directory(directory) => Some(directory),
            Body::File { .. }
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket => None,
        }
    }
}

/// A name in a directory that something other than a directory may take.
#[derive(Debug)]
pub(crate) struct Place<'p> {
    parent: NodeId,
    name: &'p [u8],
}
