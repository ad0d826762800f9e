//! The guest's memory as the pager sees it: what of it comes from the file, and what was given back.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use super::events::{self, Event};
use super::handshake::Region;
use super::ioctls::{self, Filled};

/// How much is handed over for one touch: what lies behind a page is soon wanted, too.
const TOUCH_BYTES: u64 = 64 * 1024;

/// All of a guest's memory.
pub(super) struct GuestMemory {
    file: File,
    regions: Vec<Region>,
    faults: OwnedFd,
    /// Pages that were given back and not touched since, by address.
    removed: BTreeSet<u64>,
}

impl GuestMemory {
    pub(super) fn new(file: File, regions: Vec<Region>, faults: OwnedFd) -> Self {
        Self { file, regions, faults, removed: BTreeSet::new() }
    }

    /// Fills the page of a touched address.
    pub(super) fn hand_over(&mut self, address: u64) -> io::Result<()> {
        let Some(region) = self.region_of(address) else { return Ok(()) };
        let page = address / region.page_bytes * region.page_bytes;
        loop {
            let filled = if self.removed.contains(&page) {
                ioctls::zero(&self.faults, page, region.page_bytes)?
            } else {
                let content = self.content(region, page)?;
                ioctls::copy(&self.faults, page, &content)?
            };
            match filled {
                Filled::Done => {
                    self.removed.remove(&page);
                    return Ok(());
                }
                Filled::AlreadyThere => return ioctls::wake(&self.faults, page, region.page_bytes),
                Filled::Gone => return Ok(()),
                Filled::Later => self.read_what_changes()?,
            }
        }
    }

    /// From now on these addresses read as zeros.
    pub(super) fn forget(&mut self, begin: u64, end: u64) {
        let regions = self.regions.iter().filter(|region| region.address < end && begin < region_end(region));
        for region in regions {
            let (from, to) = (begin.max(region.address), end.min(region_end(region)));
            let mut page = from / region.page_bytes * region.page_bytes;
            while page < to {
                self.removed.insert(page);
                page += region.page_bytes;
            }
        }
    }

    /// A process that gives memory back waits until that was read. Touches that are read with it are told again by the
    /// kernel once their page is there or their reader is woken, so they are served here.
    fn read_what_changes(&mut self) -> io::Result<()> {
        for event in events::read(&self.faults)? {
            match event {
                Event::Removed { begin, end } => self.forget(begin, end),
                Event::Touched(address) => {
                    if let Some(region) = self.region_of(address) {
                        let page = address / region.page_bytes * region.page_bytes;
                        // Whoever waits touches it again, and is told again.
                        ioctls::wake(&self.faults, page, region.page_bytes)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn region_of(&self, address: u64) -> Option<Region> {
        self.regions.iter().find(|region| (region.address..region_end(region)).contains(&address)).copied()
    }

    /// Reads what lies from a page on, up to the region's end and the first page that was given back.
    fn content(&self, region: Region, page: u64) -> io::Result<Vec<u8>> {
        let wanted_end = page.saturating_add(TOUCH_BYTES.max(region.page_bytes)).min(region_end(&region));
        let end = self.removed.range(page..wanted_end).next().copied().unwrap_or(wanted_end);
        let mut content = vec![0; usize::try_from(end - page).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut content, region.offset + (page - region.address))?;
        Ok(content)
    }
}

fn region_end(region: &Region) -> u64 {
    // Looked at when the message was read: it is no overflow.
    region.address.saturating_add(region.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 4096;
    const PAGE_BYTES: usize = 4096;

    fn memory(pages: u64) -> GuestMemory {
        let mut file = tempfile::tempfile().unwrap();
        for page in 0..pages {
            file.write_all(&[u8::try_from(page % 251).unwrap(); PAGE_BYTES]).unwrap();
        }
        let region = Region { address: 0x10_0000, bytes: pages * PAGE, offset: 0, page_bytes: PAGE };
        let nothing = std::fs::File::open("/dev/null").unwrap();
        GuestMemory::new(file, vec![region], nothing.into())
    }

    #[test]
    fn what_is_handed_over_ends_at_what_was_given_back() {
        let mut memory = memory(64);
        let region = memory.regions[0];
        let whole = memory.content(region, region.address).unwrap();
        assert_eq!(whole.len() as u64, TOUCH_BYTES);
        assert_eq!((whole[0], whole[4096]), (0, 1));
        memory.forget(region.address + 3 * PAGE, region.address + 4 * PAGE);
        assert_eq!(memory.content(region, region.address).unwrap().len() as u64, 3 * PAGE);
        let last = memory.content(region, region.address + 63 * PAGE).unwrap();
        assert_eq!((last.len() as u64, last[0]), (PAGE, 63));
    }

    proptest! {
        #[test]
        fn whatever_is_given_back_only_whole_pages_of_the_guest_are(begin in 0_u64..0x20_0000, bytes in 0_u64..0x10_0000) {
            let mut memory = memory(8);
            memory.forget(begin, begin + bytes);
            let region = memory.regions[0];
            let is_ours = |page: &u64| page.is_multiple_of(PAGE) && (region.address..region_end(&region)).contains(page);
            prop_assert!(memory.removed.iter().all(is_ours));
        }
    }
}
