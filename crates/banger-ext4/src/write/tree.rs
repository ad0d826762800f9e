//! The tree of names and inodes in memory, until the disk is complete. File contents are already on the disk.

use std::collections::BTreeMap;

use crate::disk::bytes::{clamp32, disk_len};
use crate::error::FormatError;
use crate::path::{names, shown};
use crate::write::attributes::Attributes;
use crate::write::extent::Extents;
use crate::write::memory::ALLOCATION_BYTES;
use crate::write::xattr::Xattrs;

mod layers;

const LINKS_MAX: u32 = 65000;

/// An inode of the tree; only the tree creates these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) parent: NodeId,
    pub(crate) entries: BTreeMap<Box<[u8]>, Link>,
    pub(crate) subdirectories: u32,
}

/// The node that a name leads to, and the layer that set the name. The layer belongs to the name rather than to the node,
/// because a later layer may give another name to a file of an earlier one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(super) layer: u32,
}

#[derive(Debug)]
pub(crate) enum Body {
    Directory(Directory),
    File { size: u64, extents: Extents },
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
    /// Number of names of a node that is not a directory; 0 after it was replaced.
    pub(crate) names: u32,
    pub(crate) body: Body,
}

impl Node {
    pub(crate) fn is_live(&self) -> bool {
        self.names > 0
    }

    fn held_bytes(&self) -> usize {
        let of_body = match &self.body {
            Body::File { extents, .. } => extents.held_bytes(),
            Body::Symlink(target) => ALLOCATION_BYTES + target.len(),
            Body::Directory(_) => ALLOCATION_BYTES,
            Body::CharDevice { .. } | Body::BlockDevice { .. } | Body::Fifo | Body::Socket => 0,
        };
        of_body + self.xattrs.held_bytes()
    }
}

/// An estimate of the memory that a name takes in its directory's map.
fn name_bytes(name: &[u8]) -> usize {
    ALLOCATION_BYTES + name.len() + 2 * size_of::<(Box<[u8]>, Link)>()
}

#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Nodes that were replaced; new nodes reuse their slots.
    vacant: Vec<NodeId>,
    /// Approximate memory of names, targets, attributes and extents in bytes, in addition to the nodes.
    held_bytes: usize,
    created_at: i64,
    /// The layer of every name that is set now.
    layer: u32,
}

impl Tree {
    /// Returns a tree with a root and with `lost+found`, which is therefore the first inode after the root.
    pub(crate) fn new(created_at: i64) -> Self {
        let mut tree = Self { nodes: Vec::new(), vacant: Vec::new(), held_bytes: 0, created_at, layer: 0 };
        tree.push_directory(NodeId::ROOT, Attributes::of_root(0o755, created_at), Xattrs::default());
        let lost_found =
            tree.push_directory(NodeId::ROOT, Attributes::of_root(0o700, created_at), Xattrs::default());
        tree.link_directory(NodeId::ROOT, b"lost+found", lost_found);
        // Checkers require it, so no layer may hide it.
        tree.keep_always(NodeId::ROOT, b"lost+found");
        tree
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from this tree, which never drops a node")]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "ids come from this tree, which never drops a node")]
    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// Returns all nodes in the order in which they were made, including those that were replaced.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        (0..).map(NodeId).zip(&self.nodes)
    }

    /// Returns the number of entries besides the root and `lost+found`.
    pub(crate) fn entries(&self) -> u64 {
        disk_len(self.nodes.len() - self.vacant.len()).saturating_sub(2)
    }

    /// Returns the number of entries that are directories.
    pub(crate) fn directories(&self) -> u64 {
        let is_directory = |node: &&Node| node.is_live() && matches!(node.body, Body::Directory(_));
        disk_len(self.nodes.iter().filter(is_directory).count())
    }

    /// Returns approximately how many bytes of memory the tree takes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        disk_len(self.nodes.len() * size_of::<Node>() + self.held_bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a directory, or gives new attributes to an existing one.
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

    /// Makes the parents of an entry that is not a directory, and checks that its name may be used.
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

    /// Puts a new node in its place. Returns the extents of a file that lost its last name because of this.
    pub(crate) fn place(&mut self, place: &Place<'_>, node: Node) -> Extents {
        let id = self.push(node);
        self.link(place, id)
    }

    /// Gives a file another name.
    pub(crate) fn add_hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<Extents, FormatError> {
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
            return Ok(Extents::default());
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
        self.held_bytes += node.held_bytes();
        if let Some(id) = self.vacant.pop() {
            *self.node_mut(id) = node;
            return id;
        }
        let id = NodeId(clamp32(disk_len(self.nodes.len())));
        self.nodes.push(node);
        id
    }

    /// Frees a node without names. The caller has removed its last name.
    pub(super) fn vacate(&mut self, id: NodeId) -> Body {
        let node = self.node_mut(id);
        let held_bytes = node.held_bytes();
        (node.names, node.xattrs) = (0, Xattrs::default());
        let body = std::mem::replace(&mut node.body, Body::Fifo);
        self.held_bytes = self.held_bytes.saturating_sub(held_bytes);
        self.vacant.push(id);
        body
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

    /// Assigns an existing name to the current layer.
    fn claim(&mut self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let layer = self.layer;
        let link = self.directory_mut(parent)?.entries.get_mut(name)?;
        link.layer = link.layer.max(layer);
        Some(link.node)
    }

    fn link(&mut self, place: &Place<'_>, id: NodeId) -> Extents {
        match self.insert(place.parent, place.name, id) {
            Some(replaced) => self.take_name(replaced),
            None => Extents::default(),
        }
    }

    /// Removes a name of a node that is not a directory. Returns the extents of a file that lost its last name.
    pub(super) fn take_name(&mut self, id: NodeId) -> Extents {
        let node = self.node_mut(id);
        node.names -= 1;
        if node.names > 0 {
            return Extents::default();
        }
        match self.vacate(id) {
            Body::File { extents, .. } => extents,
            Body::Directory(_)
            | Body::Symlink(_)
            | Body::CharDevice { .. }
            | Body::BlockDevice { .. }
            | Body::Fifo
            | Body::Socket => Extents::default(),
        }
    }

    /// Accounts for a removed name.
    pub(super) fn forget(&mut self, name: &[u8]) {
        self.held_bytes = self.held_bytes.saturating_sub(name_bytes(name));
    }

    fn link_directory(&mut self, parent: NodeId, name: &[u8], id: NodeId) {
        self.insert(parent, name, id);
        if let Some(directory) = self.directory_mut(parent) {
            directory.subdirectories += 1;
        }
    }

    fn insert(&mut self, parent: NodeId, name: &[u8], id: NodeId) -> Option<NodeId> {
        let link = Link { node: id, layer: self.layer };
        let replaced = self.directory_mut(parent)?.entries.insert(name.into(), link);
        if replaced.is_none() {
            self.held_bytes += name_bytes(name);
        }
        Some(replaced?.node)
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

/// A name in a directory that an entry other than a directory may use.
#[derive(Debug)]
pub(crate) struct Place<'p> {
    parent: NodeId,
    name: &'p [u8],
}
