//! Items that arrive from the other side. This is the only way in, so that no receiver of a tree can forget to check it.
//! Checked are the top, the order (each directory that is entered is left, each file has one end) and the limits of sizes;
//! names were checked when they were decoded.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use banger_agent_proto::TreeItem;

use crate::wire::from_wire;
use crate::{DEPTH_MAX, EntryName, Item, Tops, WireError};

/// Largest file: the limit of ext4, which guests use. A sender could claim any size, and a tar would be filled up to it.
pub const FILE_BYTES_MAX: u64 = 16 << 40;

/// The tree that arrives is not the requested one.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants mean")]
pub enum ArrivalError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{asked} was asked for, but {came} came")]
    OtherTop { asked: String, came: String },
    #[error("{asked} was asked for, but {came} came as well")]
    SecondTop { asked: String, came: String },
    #[error("{asked} was asked for, but nothing came")]
    NoTop { asked: String },
    #[error("its directories are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("a file has a part beyond {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the tree is not well-formed: {what}")]
    Malformed { what: &'static str },
}

/// A tree that is arriving.
#[derive(Debug)]
pub struct Arrival {
    tops: Tops,
    has_top: bool,
    /// Links in each open directory, by the hash of their names. A second entry with the name of a link is refused, because
    /// unpacking a tar of the tree would write through the link. A directory of an honest sender has each name once.
    levels: Vec<HashSet<u64>>,
    hasher: RandomState,
    /// Where the next bytes of the open file may begin.
    file: Option<u64>,
    is_whole: bool,
}

impl Arrival {
    /// Expects a tree with these entries at its top.
    #[must_use]
    pub fn new(tops: Tops) -> Self {
        Self {
            tops,
            has_top: false,
            levels: Vec::new(),
            hasher: RandomState::new(),
            file: None,
            is_whole: false,
        }
    }

    /// Checks the next item.
    ///
    /// # Errors
    /// [`ArrivalError`]: the sender cannot be trusted, and nothing more may be accepted from it.
    pub fn take(&mut self, item: TreeItem) -> Result<Item, ArrivalError> {
        let item = from_wire(item)?;
        if self.is_whole {
            return malformed("something follows its end");
        }
        match &item {
            Item::Data { offset, content } => self.data(*offset, content.len() as u64)?,
            Item::FileEnd { size } => {
                self.data(*size, 0)?;
                self.file = None;
            }
            Item::FileBroken if self.file.is_none() => return malformed("no file is open"),
            Item::FileBroken => self.file = None,
            Item::Skipped(_) => {}
            Item::Enter { .. } | Item::Leave | Item::File { .. } | Item::Link { .. } | Item::End
                if self.file.is_some() =>
            {
                return malformed("a file has no end");
            }
            Item::Enter { name, .. } => self.enter(&item, name.as_ref())?,
            Item::Leave if self.levels.is_empty() => return malformed("a directory ends twice"),
            Item::Leave => drop(self.levels.pop()),
            Item::File { name, size, .. } => {
                self.begin(&item, Some(name))?;
                bounded(*size)?;
                self.file = Some(0);
            }
            Item::Link { name, .. } => self.begin(&item, Some(name))?,
            Item::End => self.end()?,
        }
        Ok(item)
    }

    /// Tells whether the end of the tree has arrived.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Bytes arrive in the order of their offsets, so there can never be more of them than a file can hold.
    fn data(&mut self, offset: u64, count: u64) -> Result<(), ArrivalError> {
        let Some(position) = self.file else { return malformed("bytes belong to no file") };
        if offset < position {
            return malformed("bytes of a file come twice");
        }
        self.file = Some(bounded(offset.saturating_add(count))?);
        Ok(())
    }

    fn enter(&mut self, item: &Item, name: Option<&EntryName>) -> Result<(), ArrivalError> {
        self.begin(item, name)?;
        if name.is_none() && !self.levels.is_empty() {
            return malformed("a directory has no name");
        }
        if self.levels.len() >= DEPTH_MAX {
            return Err(ArrivalError::TooDeep);
        }
        self.levels.push(HashSet::new());
        Ok(())
    }

    fn begin(&mut self, item: &Item, name: Option<&EntryName>) -> Result<(), ArrivalError> {
        let Tops::Only(top) = &self.tops else { return Ok(()) };
        let Some(links) = self.levels.last_mut() else {
            let (asked, came) = (top.text(), text(item));
            if self.has_top {
                return Err(ArrivalError::SecondTop { asked, came });
            }
            if !top.is(item) {
                return Err(ArrivalError::OtherTop { asked, came });
            }
            self.has_top = true;
            return Ok(());
        };
        let name = self.hasher.hash_one(name);
        if links.contains(&name) {
            return malformed("something has the name of a link beside it");
        }
        if let Item::Link { .. } = item {
            links.insert(name);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ArrivalError> {
        if !self.levels.is_empty() {
            return malformed("a directory has no end");
        }
        match &self.tops {
            Tops::Only(top) if !self.has_top => return Err(ArrivalError::NoTop { asked: top.text() }),
            Tops::Only(_) | Tops::OfSender => {}
        }
        self.is_whole = true;
        Ok(())
    }
}

fn malformed<T>(what: &'static str) -> Result<T, ArrivalError> {
    Err(ArrivalError::Malformed { what })
}

fn bounded(bytes: u64) -> Result<u64, ArrivalError> {
    if bytes > FILE_BYTES_MAX { Err(ArrivalError::TooLarge) } else { Ok(bytes) }
}

/// Returns the item that arrived, as a noun.
fn text(item: &Item) -> String {
    let (kind, name) = match item {
        Item::Enter { name: Some(name), .. } => ("the directory", name),
        Item::File { name, .. } => ("the file", name),
        Item::Link { name, .. } => ("the link", name),
        _ => return "the contents of a directory".to_owned(),
    };
    format!("{kind} `{}`", name.as_bytes().escape_ascii())
}
