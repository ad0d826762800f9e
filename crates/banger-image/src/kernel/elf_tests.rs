use proptest::prelude::*;

use super::*;

/// A kernel that nothing boots, but that is one for all who look at it.
pub(crate) fn elf_kernel(release: &str, has_pvh_entry: bool) -> Vec<u8> {
    const HEADER_BYTES: u64 = 64;
    const SEGMENT_BYTES: u64 = 56;
    let note = |kind: u32| {
        let mut note = Vec::new();
        for word in [4_u32, 4, kind] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"Xen\0");
        note.extend(0x0100_0000_u32.to_le_bytes());
        note
    };
    let mut notes = note(6);
    if has_pvh_entry {
        notes.extend(note(PVH_ENTRY.0));
    }
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend(2_u16.to_le_bytes());
    elf.extend(EM_X86_64.0.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    elf.extend(0x0100_0000_u64.to_le_bytes());
    elf.extend(HEADER_BYTES.to_le_bytes());
    elf.extend(0_u64.to_le_bytes());
    elf.extend(0_u32.to_le_bytes());
    for half in [HEADER_BYTES, SEGMENT_BYTES, 1, 0, 0, 0] {
        elf.extend(u16::try_from(half).unwrap().to_le_bytes());
    }
    elf.extend(4_u32.to_le_bytes());
    elf.extend(4_u32.to_le_bytes());
    for word in [
        HEADER_BYTES + SEGMENT_BYTES,
        0,
        0,
        notes.len().try_into().unwrap(),
        notes.len().try_into().unwrap(),
        4,
    ] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(notes);
    elf.extend(b"Linux version %s\0virtio_blk\0virtio_console\0virtio-mmio\0");
    elf.extend(format!("Linux version {release} (a@b) (gcc) #1 SMP\0").bytes());
    elf
}

fn inspect(content: &[u8]) -> Result<ElfKernel, ElfError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    ElfKernel::inspect(file.path())
}

#[test]
fn a_kernel_tells_its_release_and_its_entry() {
    for has_pvh_entry in [true, false] {
        let kernel = inspect(&elf_kernel("6.12.68_1", has_pvh_entry)).unwrap();
        assert_eq!(kernel, ElfKernel { release: "6.12.68_1".to_owned(), has_pvh_entry });
    }
}

#[test]
fn what_is_no_kernel_of_this_processor_is_refused() {
    assert!(matches!(inspect(b"no kernel"), Err(ElfError::NotElf(_))));
    let mut arm = elf_kernel("6.1", true);
    arm[18] = 183;
    let error = inspect(&arm).unwrap_err();
    assert_eq!(error.to_string(), "the kernel is not for x86-64 (its ELF machine is 183)");
    let mut other = elf_kernel("x", true);
    other.truncate(64 + 56);
    other.resize(64 + 56 + 40, 0);
    assert!(inspect(&other).is_err());
}

#[test]
fn texts_that_are_nowhere_are_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), elf_kernel("6.1", true)).unwrap();
    assert_eq!(first_missing(file.path(), &["virtio_blk", "virtio-mmio"]).unwrap(), None);
    assert_eq!(first_missing(file.path(), &["virtio_blk", "overlayfs"]).unwrap(), Some("overlayfs"));
    assert_eq!(first_missing(file.path(), &[]).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_release_is_found_wherever_it_stands(place in (CHUNK_BYTES - 200)..(CHUNK_BYTES + 200)) {
        let mut content = vec![b'L'; place];
        content.extend(b"Linux version 6.6.100-0-virt (x)");
        content.resize(2 * CHUNK_BYTES + 500, b'.');
        let found = find_release(&*content).unwrap();
        prop_assert_eq!(found.as_deref(), Some("6.6.100-0-virt"));
    }

    #[test]
    fn no_content_makes_it_panic(content: Vec<u8>) {
        let _ = inspect(&content);
        let _ = inspect(&[&b"\x7fELF\x02\x01\x01"[..], &content].concat());
    }
}
