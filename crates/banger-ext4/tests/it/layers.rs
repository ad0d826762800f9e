//! Layers that hide, replace and remove entries below them.

use std::os::unix::fs::MetadataExt as _;

use banger_ext4::{EntryKind, Ext4Writer, FormatError, Found, Metadata};
use ext4_view::Ext4;

use crate::support::{Disk, Fill, GIB, MIB, metadata, options};

/// Every path of a file system with the content of its files, sorted.
fn listing(view: &Ext4) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec!["/".to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in view.read_dir(directory.as_str()).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().as_str().expect("text").to_owned();
            if name == "." || name == ".." || name == "lost+found" {
                continue;
            }
            let path = format!("{directory}{name}");
            let kind = view.symlink_metadata(path.as_str()).expect("metadata").file_type();
            if kind.is_dir() {
                directories.push(format!("{path}/"));
                found.push(format!("{path}/"));
            } else if kind.is_symlink() {
                found.push(format!("{path} -> {}", view.read_link(path.as_str()).expect("a link").display()));
            } else {
                found.push(format!("{path}={}", view.read_to_string(path.as_str()).expect("content")));
            }
        }
    }
    found.sort();
    found
}

fn lower(writer: &mut Ext4Writer) {
    writer.file("d/old", "1");
    writer.file("d/sub/old", "2");
    writer.file("d/both/old", "3");
    writer.file("keep", "4");
}

#[test]
fn what_hides_a_directory_leaves_alone_what_its_own_layer_brings_whichever_comes_first() {
    let adds = |writer: &mut Ext4Writer| {
        writer.file("d/both/new", "5");
        writer.entry("d/sub", &metadata(0o700), EntryKind::Directory);
    };
    let whole = ["/d/", "/d/both/", "/d/both/new=5", "/d/sub/", "/keep=4"];
    for hides_first in [false, true] {
        for is_opaque in [false, true] {
            let disk = Disk::made(options(64 * MIB), |writer| {
                lower(writer);
                writer.begin_layer();
                if !hides_first {
                    adds(writer);
                }
                let hidden = if is_opaque { writer.clear_older(b"d") } else { writer.remove_older(b"d") };
                hidden.expect("the lower directory is hidden");
                if hides_first {
                    adds(writer);
                }
            });
            disk.assert_clean();
            let view = disk.view();
            assert_eq!(listing(&view), whole, "opaque {is_opaque}, first {hides_first}");
            assert_eq!(view.metadata("/d/sub").expect("metadata").mode() & 0o7777, 0o700);
        }
    }
}

#[test]
fn a_hidden_directory_that_a_layer_uses_again_is_a_new_one() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        let private = Metadata { uid: 7, xattrs: vec![(b"user.a".into(), b"b".into())], ..metadata(0o700) };
        writer.entry("d", &private, EntryKind::Directory);
        writer.begin_layer();
        writer.file("d/new", "");
        writer.remove_older(b"d").expect("the lower directory is hidden");
    });
    disk.assert_clean();
    let directory = disk.view().metadata("/d").expect("metadata");
    assert_eq!((directory.mode() & 0o7777, directory.uid()), (0o755, 0));
    assert!(!disk.debugfs("ea_list /d").contains("user.a"));
}

#[test]
fn a_hidden_directory_without_anything_new_is_gone_with_all_below_it() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        lower(writer);
        writer.begin_layer();
        for path in ["d", "nothing", "keep/nothing", "d/sub"] {
            writer.remove_older(path.as_bytes()).expect("hides");
        }
    });
    disk.assert_clean();
    assert_eq!(listing(&disk.view()), ["/keep=4"]);
}

#[test]
fn a_directory_and_a_file_replace_each_other() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        lower(writer);
        writer.begin_layer();
        writer.remove(b"d").expect("removes");
        writer.file("d", "file");
        writer.remove(b"keep").expect("removes");
        writer.file("keep/below", "6");
    });
    disk.assert_clean();
    assert_eq!(listing(&disk.view()), ["/d=file", "/keep/", "/keep/below=6"]);
}

#[test]
fn a_name_of_this_layer_stays_though_its_file_is_of_an_earlier_one() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        lower(writer);
        writer.begin_layer();
        writer.entry("d/link", &metadata(0), EntryKind::HardLink(b"d/old"));
        writer.clear_older(b"d").expect("clears");
    });
    disk.assert_clean();
    let view = disk.view();
    assert_eq!(listing(&view), ["/d/", "/d/link=1", "/keep=4"]);
    assert!(disk.debugfs("stat /d/link").contains("Links: 1 "));
}

#[test]
fn what_is_replaced_below_gives_its_room_back_to_the_host() {
    let disk = Disk::made(options(256 * MIB), |writer| {
        writer.file("big", vec![1; 64 << 20]);
        writer.begin_layer();
        writer.remove_older(b"big").expect("hides");
        writer.file("small", "x");
    });
    disk.assert_clean();
    assert!(disk.allocated_bytes() < 8 * MIB, "{}", disk.allocated_bytes());
    assert_eq!(std::fs::metadata(&disk.path).expect("metadata").size(), 256 * MIB);
}

#[test]
fn links_among_the_parents_are_followed_inside_the_root() {
    let _disk = Disk::made(options(64 * MIB), |writer| {
        let link = |writer: &mut Ext4Writer, path: &str, target: &str| {
            writer.entry(path, &metadata(0), EntryKind::Symlink(target.as_bytes()));
        };
        writer.file("usr/lib/x", "");
        link(writer, "lib", "usr/lib");
        link(writer, "usr/up", "../lib/../lib");
        link(writer, "absolute", "/usr/./up");
        link(writer, "dangling", "not/yet");
        let resolved = |path: &str| {
            writer.resolve(path.as_bytes()).map(|found| String::from_utf8(found.into_owned()).expect("text"))
        };
        let plain = |path: &str| resolved(path).expect("resolves");
        assert_eq!(plain("usr/lib/x"), "usr/lib/x");
        assert_eq!(plain("lib/x"), "usr/lib/x");
        assert_eq!(plain("lib"), "lib", "the last name is not followed");
        assert_eq!(plain("usr/up/x"), "usr/lib/x");
        assert_eq!(plain("absolute/y/z"), "usr/lib/y/z");
        assert_eq!(plain("dangling/z"), "not/yet/z");
        assert_eq!(plain("usr/lib/x/y"), "usr/lib/x/y", "a file is no link");
    });
}

#[test]
fn the_parent_of_the_root_is_the_root_and_circles_are_refused() {
    let _disk = Disk::made(options(64 * MIB), |writer| {
        for (path, target) in [("out", "../.."), ("a", "b"), ("b", "/a"), ("deep/out", "../.././../etc")] {
            writer.entry(path, &metadata(0), EntryKind::Symlink(target.as_bytes()));
        }
        for (path, expected) in [("out/x", &b"x"[..]), ("deep/out/x", b"etc/x")] {
            assert_eq!(writer.resolve(path.as_bytes()).expect("resolves").as_ref(), expected, "{path}");
        }
        assert!(matches!(writer.resolve(b"a/x"), Err(FormatError::TooManySymlinks { .. })));
    });
}

#[test]
fn a_look_up_tells_what_is_there() {
    let _disk = Disk::made(options(64 * MIB), |writer| {
        lower(writer);
        writer.entry("link", &metadata(0), EntryKind::Symlink(b"d"));
        writer.entry("fifo", &metadata(0), EntryKind::Fifo);
        let found = |path: &str| writer.look_up(path.as_bytes()).expect("looks");
        assert_eq!(found("d"), Some(Found::Directory));
        assert_eq!(found("d/old"), Some(Found::File { size: 1 }));
        assert_eq!(found("link"), Some(Found::Symlink(b"d".to_vec())));
        assert_eq!(found("fifo"), Some(Found::Special));
        assert_eq!(found("link/old"), None);
        assert_eq!(found("none"), None);
        assert_eq!(found("/"), Some(Found::Directory));
    });
}

#[test]
fn nothing_hides_lost_and_found() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        lower(writer);
        writer.file("lost+found/x", "");
        writer.begin_layer();
        writer.clear_older(b"/").expect("clears");
        writer.remove_older(b"lost+found").expect("hides");
        writer.remove(b"lost+found").expect("removes");
    });
    disk.assert_clean();
    assert!(listing(&disk.view()).is_empty());
    assert!(disk.view().read_dir("/lost+found").expect("it is there").all(|entry| {
        entry.expect("an entry").file_name().as_str().is_ok_and(|name| name.starts_with('.'))
    }));
}

#[test]
fn a_tree_as_deep_as_a_path_can_be_is_removed_without_a_deep_stack() {
    let _disk = Disk::made(options(1024 * MIB), |writer| {
        writer.file(vec!["d"; 100_000].join("/"), "");
        writer.begin_layer();
        writer.remove_older(b"d").expect("hides");
        assert_eq!(writer.look_up(b"d").expect("looks"), None);
        assert!(matches!(writer.remove(b"/"), Err(FormatError::PathIsRoot { .. })));
    });
}

#[test]
fn what_replaces_itself_again_and_again_takes_neither_disk_nor_memory() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(4 * GIB)).expect("the disk is created");
    let content = vec![7; 40 << 20];
    let taken = || std::fs::metadata(&disk.path).expect("the disk is there").blocks() * 512;
    let mut memory_bytes = 0;
    for layer in 0..10 {
        writer.begin_layer();
        writer.file("dir/once more", "x");
        let kind = EntryKind::File { size: content.len() as u64, content: &mut content.as_slice() };
        writer.add(b"dir/large", &metadata(0o644), kind).expect("the file is added");
        writer.remove(b"dir/once more").expect("the file is removed");
        assert!(taken() <= 130 * MIB, "{layer}: {} MiB are on the disk", taken() / MIB);
        assert_eq!(writer.entries(), 2, "the directory and the file");
        if layer == 2 {
            memory_bytes = writer.memory_bytes();
        }
    }
    assert!(writer.memory_bytes() < memory_bytes + 1024, "the number of extents may differ");
    writer.finish_shrunk(0).expect("the disk is finished");
    assert!(taken() <= 60 * MIB);
    disk.assert_clean();
}

#[test]
fn the_memory_of_entries_is_counted_by_what_they_hold() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(64 * MIB)).expect("the disk is created");
    let mut grown = |add: &mut dyn FnMut(&mut Ext4Writer)| {
        let before = writer.memory_bytes();
        add(&mut writer);
        writer.memory_bytes() - before
    };
    let target = vec![b'x'; 4000];
    let plain = grown(&mut |writer| writer.file("plain", "x"));
    let link = grown(&mut |writer| writer.entry("link", &metadata(0o777), EntryKind::Symlink(&target)));
    let attributed = Metadata { xattrs: vec![(b"user.a".to_vec(), vec![1; 3000])], ..metadata(0o644) };
    let attributed = grown(&mut |writer| writer.entry("attributed", &attributed, EntryKind::Fifo));
    let deep = grown(&mut |writer| writer.file("d/".repeat(500), "x"));
    assert!(
        plain < 300 && link > 4000 && attributed > 3000 && deep > 50_000,
        "{plain} {link} {attributed} {deep}"
    );
}

#[test]
fn what_the_end_of_the_work_takes_is_known_before_it() {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(GIB)).expect("the disk is created");
    for number in 0..3000 {
        writer.file(format!("d/{number}"), "");
        writer.entry(format!("e/{number}"), &metadata(0o755), EntryKind::Directory);
    }
    let told = writer.metadata_bytes();
    writer.finish_shrunk(0).expect("the disk is finished");
    let taken = std::fs::metadata(&disk.path).expect("the disk is there").blocks() * 512;
    assert!(taken <= told && told < 3 * taken, "{told} bytes were told, and {taken} are taken");
}
