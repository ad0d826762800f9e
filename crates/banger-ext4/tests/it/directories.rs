//! Large and deep directories.

use banger_ext4::EntryKind;

use crate::support::{Disk, Fill, GIB, MIB, metadata, options};

#[test]
fn a_directory_with_20000_entries_is_indexed_and_complete() {
    let name = |number: u32| format!("an entry with a rather long name, number {number}");
    let disk = Disk::made(options(GIB), |writer| {
        for number in 0..20_000 {
            writer.file(format!("many/{}", name(number)), "");
        }
    });
    disk.assert_clean();
    let view = disk.view();
    let mut names: Vec<Vec<u8>> = view
        .read_dir("/many")
        .expect("reads the directory")
        .map(|entry| entry.expect("an entry").file_name().as_ref().to_vec())
        .filter(|name| name != b"." && name != b"..")
        .collect();
    names.sort();
    let mut expected: Vec<Vec<u8>> = (0..20_000).map(|number| name(number).into_bytes()).collect();
    expected.sort();
    assert!(names == expected);
    // These look-ups go through the index.
    for number in (0..20_000).step_by(997) {
        assert!(view.exists(format!("/many/{}", name(number)).as_str()).expect("lookup"), "{number}");
    }
    assert!(disk.debugfs("stat /many").contains("Flags: 0x81000"));
}

#[test]
fn a_directory_with_two_levels_of_index_is_clean() {
    let name = |number: u32| format!("{number:0>200}");
    let disk = Disk::made(options(GIB), |writer| {
        for number in 0..12_000 {
            writer.file(format!("many/{}", name(number)), "");
        }
    });
    disk.assert_clean();
    assert!(disk.debugfs("htree_dump /many").contains("Indirect levels: 1"));
    for number in (0..12_000).step_by(499) {
        assert!(disk.view().exists(format!("/many/{}", name(number)).as_str()).expect("lookup"), "{number}");
    }
}

#[test]
fn directories_around_the_size_of_a_block_are_clean() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        for entries in 250..260 {
            for number in 0..entries {
                writer.file(format!("d{entries}/{number:0>8}"), "");
            }
        }
    });
    disk.assert_clean();
}

#[test]
fn names_of_other_alphabets_hash_as_the_kernel_hashes_them() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        for number in 0..2000_u32 {
            let mut name = b"many/\xff\x80\xc3\xa4".to_vec();
            name.extend(number.to_string().into_bytes());
            writer.file(name, "");
        }
    });
    disk.assert_clean();
}

#[test]
fn deep_directories_work() {
    let path = vec!["d"; 400].join("/");
    let disk = Disk::made(options(64 * MIB), |writer| writer.file(format!("{path}/leaf"), "deep"));
    disk.assert_clean();
    assert_eq!(disk.view().read(format!("/{path}/leaf").as_str()).expect("reads"), b"deep");
}

#[test]
fn more_subdirectories_than_links_are_allowed() {
    let disk = Disk::made(banger_ext4::FormatOptions { inodes_min: 70_000, ..options(2 * GIB) }, |writer| {
        for number in 0..65_100 {
            writer.entry(format!("many/{number}"), &metadata(0o755), EntryKind::Directory);
        }
    });
    disk.assert_clean();
    assert!(disk.debugfs("stat /many").contains("Links: 1 "));
}
