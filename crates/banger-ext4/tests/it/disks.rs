//! Sizes, empty disks, growth, and the cost of a disk.

use std::time::Instant;

use banger_ext4::{Ext4Writer, FormatError, Journal, Resource, format_empty, image_size_for};

use crate::support::{Disk, Fill, GIB, MIB, assert_clean, options, tool};

#[test]
fn empty_disks_of_all_sizes_are_clean() {
    let odd = 8 * GIB + 12345;
    let short_last_group = GIB + 40 * 4096;
    let sizes =
        [MIB, 4 * MIB, 64 * MIB, 128 * MIB, 129 * MIB, GIB, short_last_group, odd, 64 * GIB, 512 * GIB];
    for size in sizes {
        for journal in [Journal::None, Journal::Auto] {
            let disk = Disk::new();
            format_empty(&disk.path, banger_ext4::FormatOptions { journal, ..options(size) })
                .expect("formats");
            disk.assert_clean();
            assert!(disk.view().exists("/lost+found").expect("lookup works"));
        }
    }
}

#[test]
fn an_empty_disk_of_64_gib_costs_about_a_megabyte_and_no_time() {
    let disk = Disk::new();
    let start = Instant::now();
    format_empty(&disk.path, banger_ext4::FormatOptions { journal: Journal::Auto, ..options(64 * GIB) })
        .expect("formats");
    let took = start.elapsed();
    assert!(disk.allocated_bytes() < 3 * MIB / 2, "allocates {} bytes", disk.allocated_bytes());
    // It takes milliseconds on a quiet machine; the bound only excludes times that grow with the size.
    assert!(took.as_millis() < 2000, "takes {took:?}");
}

#[test]
fn an_empty_disk_grows() {
    let disk = Disk::new();
    format_empty(&disk.path, banger_ext4::FormatOptions { journal: Journal::Auto, ..options(GIB) })
        .expect("formats");
    for size in [4 * GIB, 40 * GIB] {
        std::fs::File::options()
            .write(true)
            .open(&disk.path)
            .expect("opens")
            .set_len(size)
            .expect("grows the file");
        let output = tool("resize2fs", &[], &disk.path);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_clean(&disk.path);
        let blocks = format!("Block count:              {}", size / 4096);
        assert!(disk.debugfs("show_super_stats -h").contains(&blocks));
    }
}

#[test]
fn a_shrunk_disk_has_only_what_is_in_use_and_the_slack() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(64 * GIB)).expect("creates");
    let content = vec![7; 200 * 1024 * 1024];
    writer.file("large", &content);
    for number in 0..3000 {
        writer.file(format!("many/{number}"), "x");
    }
    let summary = writer.finish_shrunk(MIB).expect("finishes");
    disk.assert_clean();
    assert!(summary.size_bytes < 220 * MIB, "{summary:?}");
    assert_eq!(std::fs::metadata(&disk.path).expect("metadata").len(), summary.size_bytes);
    assert!(disk.view().read("/large").expect("reads") == content);
}

#[test]
fn a_shrunk_disk_with_more_inodes_than_one_group_holds_is_clean() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(64 * GIB)).expect("creates");
    for number in 0..70_000 {
        writer.file(format!("{}/{number}", number % 100), "");
    }
    let summary = writer.finish_shrunk(0).expect("finishes");
    disk.assert_clean();
    assert!(summary.size_bytes < 300 * MIB, "{summary:?}");
}

#[test]
fn a_shrunk_disk_may_have_a_journal() {
    let disk = Disk::new();
    let options = banger_ext4::FormatOptions { journal: Journal::Bytes(8 * MIB), ..options(GIB) };
    let mut writer = Ext4Writer::create(&disk.path, options).expect("creates");
    writer.file("a", "b");
    writer.finish_shrunk(0).expect("finishes");
    disk.assert_clean();
    assert!(disk.debugfs("stat <8>").contains("Size: 8388608"));
}

#[test]
fn a_full_disk_is_a_clear_error() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(4 * MIB)).expect("creates");
    let content = vec![1; 5 * 1024 * 1024];
    let kind = banger_ext4::EntryKind::File { size: content.len() as u64, content: &mut &*content };
    let error = writer.add(b"large", &crate::support::metadata(0o644), kind).expect_err("does not fit");
    assert!(matches!(error, FormatError::NoSpace { resource: Resource::Blocks, .. }), "{error:?}");
    let error = writer.finish().expect_err("nothing is left for the tables");
    assert!(matches!(error, FormatError::NoSpace { resource: Resource::Blocks, .. }), "{error:?}");
}

#[test]
fn too_many_inodes_are_a_clear_error() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(64 * MIB)).expect("creates");
    for number in 0..33_000 {
        writer.file(format!("{}/{number}", number % 100), "");
    }
    let error = writer.finish().expect_err("one group has 32768 inodes");
    assert!(matches!(error, FormatError::NoSpace { resource: Resource::Inodes, .. }), "{error:?}");
}

#[test]
fn a_proposed_size_holds_what_it_was_asked_for() {
    for (files, bytes) in [(0_u64, 0_usize), (10, 3_000_000), (3000, 1000), (200, 200_000)] {
        let content = vec![5; bytes];
        let disk = Disk::made(options(image_size_for(files * bytes as u64, files)), |writer| {
            for number in 0..files {
                writer.file(format!("{number}"), &content);
            }
        });
        disk.assert_clean();
    }
}

#[test]
fn equal_input_gives_equal_bytes() {
    let make = || {
        let disk = Disk::made(
            banger_ext4::FormatOptions { journal: Journal::Auto, ..options(64 * MIB) },
            |writer| {
                for number in 0..500 {
                    writer.file(format!("some directory/{number}"), format!("{number}"));
                }
            },
        );
        std::fs::read(&disk.path).expect("reads")
    };
    assert!(make() == make());
}

#[test]
fn a_label_and_uuid_are_kept() {
    let disk = Disk::made(options(4 * MIB), |_| {});
    assert_eq!(disk.view().label().to_str(), Ok("disk"));
    assert_eq!(disk.view().uuid().as_bytes(), b"0123456789abcdef");
    let error =
        Ext4Writer::create(&disk.path, banger_ext4::FormatOptions { label: "x".repeat(17), ..options(MIB) });
    assert!(matches!(error, Err(FormatError::LabelTooLong { .. })));
}
