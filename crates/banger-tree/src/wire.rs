//! Conversion between items and messages of the guest protocol. Everything that arrives is checked here, once.

use banger_agent_proto::tree_item::Item as Wire;
use banger_agent_proto::{
    TreeData, TreeDirectory, TreeEnd, TreeFile, TreeFileBroken, TreeFileEnd, TreeItem, TreeLeave, TreeLink,
    TreeMetadata, TreeSkipped,
};

use crate::{EntryName, Item, Metadata, NameError, Skipped};

/// The message is not a valid item.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants mean")]
pub enum WireError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("an item is of a kind that this version does not know")]
    Unknown,
    #[error("an item has no permissions, owner and time")]
    NoMetadata,
}

/// Returns the size that an item counts in a batch: its bytes plus some for the encoding.
#[must_use]
pub fn batch_bytes(item: &Item) -> usize {
    const OVERHEAD: usize = 64;
    let content = match item {
        Item::Data { content, .. } => content.len(),
        Item::Link { target, .. } => target.len(),
        Item::Skipped(skipped) => skipped.path.len(),
        Item::Enter { .. }
        | Item::Leave
        | Item::File { .. }
        | Item::FileEnd { .. }
        | Item::FileBroken
        | Item::End => 0,
    };
    content + OVERHEAD
}

/// Converts an item to a message.
#[must_use]
pub fn to_wire(item: Item) -> TreeItem {
    let item = match item {
        Item::Enter { name, metadata } => Wire::Enter(TreeDirectory {
            name: name.as_ref().map(bytes_of).unwrap_or_default(),
            metadata: metadata.map(metadata_to_wire),
        }),
        Item::Leave => Wire::Leave(TreeLeave {}),
        Item::File { name, metadata, size } => {
            Wire::File(TreeFile { name: bytes_of(&name), metadata: Some(metadata_to_wire(metadata)), size })
        }
        Item::Data { offset, content } => Wire::Data(TreeData { offset, content }),
        Item::FileEnd { size } => Wire::FileEnd(TreeFileEnd { size }),
        Item::FileBroken => Wire::FileBroken(TreeFileBroken {}),
        Item::Link { name, metadata, target } => Wire::Link(TreeLink {
            name: bytes_of(&name),
            metadata: Some(metadata_to_wire(metadata)),
            target: target.into(),
        }),
        Item::Skipped(Skipped { path, reason, is_failure }) => {
            Wire::Skipped(TreeSkipped { path: path.into(), reason, is_failure })
        }
        Item::End => Wire::End(TreeEnd {}),
    };
    TreeItem { item: Some(item) }
}

/// Decodes an item; [`Arrival`](crate::Arrival) checks whether it may occur at this position.
///
/// # Errors
/// [`WireError`].
pub(crate) fn from_wire(item: TreeItem) -> Result<Item, WireError> {
    Ok(match item.item.ok_or(WireError::Unknown)? {
        Wire::Enter(TreeDirectory { name, metadata }) => Item::Enter {
            name: if name.is_empty() { None } else { Some(EntryName::new(&name)?) },
            metadata: metadata.map(metadata_from_wire),
        },
        Wire::Leave(TreeLeave {}) => Item::Leave,
        Wire::File(TreeFile { name, metadata, size }) => Item::File {
            name: EntryName::new(&name)?,
            metadata: metadata.map(metadata_from_wire).ok_or(WireError::NoMetadata)?,
            size,
        },
        Wire::Data(TreeData { offset, content }) => Item::Data { offset, content },
        Wire::FileEnd(TreeFileEnd { size }) => Item::FileEnd { size },
        Wire::FileBroken(TreeFileBroken {}) => Item::FileBroken,
        Wire::Link(TreeLink { name, metadata, target }) => Item::Link {
            name: EntryName::new(&name)?,
            metadata: metadata.map(metadata_from_wire).ok_or(WireError::NoMetadata)?,
            target: target.to_vec(),
        },
        Wire::Skipped(TreeSkipped { path, reason, is_failure }) => {
            Item::Skipped(Skipped { path: path.to_vec(), reason, is_failure })
        }
        Wire::End(TreeEnd {}) => Item::End,
    })
}

fn bytes_of(name: &EntryName) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(name.as_bytes())
}

fn metadata_to_wire(metadata: Metadata) -> TreeMetadata {
    let Metadata { mode, uid, gid, modified_seconds, modified_nanos } = metadata;
    TreeMetadata { mode, uid, gid, modified_seconds, modified_nanos }
}

fn metadata_from_wire(metadata: TreeMetadata) -> Metadata {
    let TreeMetadata { mode, uid, gid, modified_seconds, modified_nanos } = metadata;
    // The kernel refuses a billion and more, and gives two values beyond it a special meaning.
    let modified_nanos = modified_nanos.min(999_999_999);
    Metadata { mode: mode & 0o7777, uid, gid, modified_seconds, modified_nanos }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metadata() -> impl Strategy<Value = Metadata> {
        (0..0o10000_u32, any::<u32>(), any::<u32>(), any::<i64>(), 0..1_000_000_000_u32).prop_map(
            |(mode, uid, gid, modified_seconds, modified_nanos)| Metadata {
                mode,
                uid,
                gid,
                modified_seconds,
                modified_nanos,
            },
        )
    }

    fn name() -> impl Strategy<Value = EntryName> {
        prop::collection::vec(any::<u8>(), 1..20)
            .prop_filter_map("no name", |bytes| EntryName::new(&bytes).ok())
    }

    fn item() -> impl Strategy<Value = Item> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..50);
        prop_oneof![
            (prop::option::of(name()), prop::option::of(metadata()))
                .prop_map(|(name, metadata)| Item::Enter { name, metadata }),
            Just(Item::Leave),
            (name(), metadata(), any::<u64>()).prop_map(|(name, metadata, size)| Item::File {
                name,
                metadata,
                size
            }),
            (any::<u64>(), bytes())
                .prop_map(|(offset, content)| Item::Data { offset, content: content.into() }),
            any::<u64>().prop_map(|size| Item::FileEnd { size }),
            Just(Item::FileBroken),
            (name(), metadata(), bytes()).prop_map(|(name, metadata, target)| Item::Link {
                name,
                metadata,
                target
            }),
            (bytes(), "\\PC{0,20}", any::<bool>())
                .prop_map(|(path, reason, is_failure)| Item::Skipped(Skipped { path, reason, is_failure })),
            Just(Item::End),
        ]
    }

    proptest! {
        #[test]
        fn an_item_survives_the_wire(item in item()) {
            prop_assert_eq!(from_wire(to_wire(item.clone())).unwrap(), item);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in [&b".."[..], b".", b"a/b", b"/etc", b"a\0"] {
            let name = bytes::Bytes::copy_from_slice(bad);
            let metadata = Some(TreeMetadata::default());
            for item in [
                Wire::Enter(TreeDirectory { name: name.clone(), metadata }),
                Wire::File(TreeFile { name: name.clone(), metadata, size: 0 }),
                Wire::Link(TreeLink { name: name.clone(), metadata, target: name.clone() }),
            ] {
                assert!(
                    matches!(from_wire(TreeItem { item: Some(item) }), Err(WireError::Name(_))),
                    "{bad:?}"
                );
            }
        }
        let nameless = TreeFile { name: bytes::Bytes::new(), metadata: None, size: 0 };
        assert!(from_wire(TreeItem { item: Some(Wire::File(nameless)) }).is_err());
        assert!(from_wire(TreeItem { item: None }).is_err());
    }
}
