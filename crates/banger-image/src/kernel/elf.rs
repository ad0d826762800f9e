//! What an ELF kernel says about itself: whether it is one for this machine, how it can be entered, which release it is.
//! Sources: `xen/include/public/elfnote.h` of Xen for the entry; `init/version.c` of the kernel for its release.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use memchr::memmem;
use object::elf::{EM_X86_64, FileHeader64, NoteType};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};

/// `XEN_ELFNOTE_PHYS32_ENTRY`: the address at which a VMM may enter the kernel ("PVH").
const PVH_ENTRY: NoteType = NoteType(18);
/// What stands before the release in every kernel.
const BANNER: &[u8] = b"Linux version ";
/// Longest release (`__NEW_UTS_LEN`).
const RELEASE_BYTES_MAX: usize = 64;
/// How much is searched at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Why an ELF kernel cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ElfError {
    #[error("cannot read the kernel")]
    Read(#[source] io::Error),
    #[error("the kernel is not a 64-bit ELF program")]
    NotElf(#[source] object::Error),
    #[error("the kernel is not for x86-64 (its ELF machine is {machine})")]
    OtherProcessor { machine: u16 },
    #[error("the kernel contains no `Linux version`: it is not a Linux kernel, or it is compressed")]
    NoRelease,
}

/// What is known of an ELF kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ElfKernel {
    /// As `uname -r` prints it.
    pub(crate) release: String,
    /// Can QEMU enter it?
    pub(crate) has_pvh_entry: bool,
}

impl ElfKernel {
    /// Looks at a kernel.
    pub(crate) fn inspect(path: &Path) -> Result<Self, ElfError> {
        let has_pvh_entry = has_pvh_entry(&ReadCache::new(File::open(path).map_err(ElfError::Read)?))?;
        let content = BufReader::new(File::open(path).map_err(ElfError::Read)?);
        let release = find_release(content).map_err(ElfError::Read)?.ok_or(ElfError::NoRelease)?;
        Ok(Self { release, has_pvh_entry })
    }
}

fn has_pvh_entry(kernel: &ReadCache<File>) -> Result<bool, ElfError> {
    let header = FileHeader64::<Endianness>::parse(kernel).map_err(ElfError::NotElf)?;
    let endian = header.endian().map_err(ElfError::NotElf)?;
    let machine = header.e_machine(endian);
    if machine != EM_X86_64 {
        return Err(ElfError::OtherProcessor { machine: machine.0 });
    }
    for segment in header.program_headers(endian, kernel).map_err(ElfError::NotElf)? {
        let Some(mut notes) = segment.notes(endian, kernel).map_err(ElfError::NotElf)? else { continue };
        while let Some(note) = notes.next().map_err(ElfError::NotElf)? {
            if note.name() == b"Xen" && note.n_type(endian) == PVH_ENTRY {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Returns the release in the kernel's banner. The words before it stand elsewhere too; only a number after them counts.
fn find_release(content: impl Read) -> io::Result<Option<String>> {
    search(content, BANNER.len() + RELEASE_BYTES_MAX + 1, |window| {
        let places = memmem::find_iter(window, BANNER);
        places.filter_map(|place| window.get(place + BANNER.len()..)).find_map(release_at)
    })
}

fn release_at(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == 0)?;
    let release = std::str::from_utf8(text.get(..end)?).ok()?;
    let is_release =
        release.len() <= RELEASE_BYTES_MAX && release.starts_with(|first: char| first.is_ascii_digit());
    (is_release && release.bytes().all(|byte| byte.is_ascii_graphic())).then(|| release.to_owned())
}

/// Returns the first of these texts that is nowhere in a file.
pub(crate) fn first_missing<'t>(path: &Path, texts: &[&'t str]) -> io::Result<Option<&'t str>> {
    let mut missing = texts.to_vec();
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    search(File::open(path)?, longest, |window| {
        missing.retain(|text| memmem::find(window, text.as_bytes()).is_none());
        missing.is_empty().then_some(())
    })?;
    Ok(missing.first().copied())
}

/// Shows the content piece by piece, each overlapping the one before it by `overlap` bytes, until something is found.
fn search<T>(
    mut content: impl Read,
    overlap: usize,
    mut look: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    let mut window = Vec::with_capacity(CHUNK_BYTES + overlap);
    loop {
        let before = window.len();
        content.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut window)?;
        if window.len() == before {
            return Ok(None);
        }
        if let Some(found) = look(&window) {
            return Ok(Some(found));
        }
        window.drain(..window.len().saturating_sub(overlap));
    }
}

#[cfg(test)]
#[path = "elf_tests.rs"]
pub(crate) mod tests;
