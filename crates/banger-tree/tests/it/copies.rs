//! What a copy preserves.

use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use banger_tree::{CHUNK_BYTES, DEPTH_MAX, Item, ReadError, TreeReader, WriteError, WriterOptions};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::place::{Place, copy, read};

#[test]
fn modes_times_links_and_odd_names_are_kept() {
    let place = Place::new();
    let odd = [&b"a b"[..], b"new\nline", b"\xff\xfe", b"-rf", b"*", b"..."].map(std::ffi::OsStr::from_bytes);
    place.directory("from/empty");
    for name in odd {
        fs::write(place.at("from").join(name), name.as_bytes()).unwrap();
    }
    place.write("from/sub/script", "#!/bin/sh");
    fs::set_permissions(place.at("from/sub/script"), Permissions::from_mode(0o751)).unwrap();
    fs::set_permissions(place.at("from/empty"), Permissions::from_mode(0o500)).unwrap();
    symlink("/nonexistent/\u{e9}", place.at("from/sub/link")).unwrap();
    let moment = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for path in ["from/sub/script", "from/sub"] {
        File::open(place.at(path)).unwrap().set_modified(moment).unwrap();
    }
    let summary = copy(&place.at("from"), &place.at("to")).unwrap();
    assert_eq!(place.list("to"), place.list("from"));
    assert_eq!(summary.files, 8);
}

#[test]
fn a_large_file_comes_in_chunks_and_whole() {
    let place = Place::new();
    let content: Vec<u8> = (0..5 * CHUNK_BYTES + 17).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let from = place.write("big", &content);
    let longest = read(&from).into_iter().filter_map(|item| match item {
        Item::Data { content, .. } => Some(content.len()),
        _ => None,
    });
    assert_eq!(longest.max(), Some(CHUNK_BYTES));
    let summary = copy(&from, &place.at("copy")).unwrap();
    assert!(fs::read(place.at("copy")).unwrap() == content);
    assert_eq!((summary.files, summary.bytes), (1, content.len() as u64));
}

#[test]
fn holes_stay_holes() {
    let place = Place::new();
    let file = File::create(place.at("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(b"middle", 1 << 30).unwrap();
    drop(file);
    let summary = copy(&place.at("sparse"), &place.at("copy")).unwrap();
    let copied = File::open(place.at("copy")).unwrap();
    let metadata = copied.metadata().unwrap();
    assert_eq!(metadata.len(), 1 << 40);
    assert!(
        metadata.blocks() * 512 < 1 << 20 && summary.bytes < 1 << 20,
        "{} {summary:?}",
        metadata.blocks()
    );
    let mut middle = [0; 8];
    copied.read_exact_at(&mut middle, 1 << 30).unwrap();
    assert_eq!(&middle, b"middle\0\0");
    // Nothing but a hole.
    File::create(place.at("hole")).unwrap().set_len(1 << 20).unwrap();
    assert_eq!(copy(&place.at("hole"), &place.at("hole2")).unwrap().bytes, 0);
    assert_eq!(fs::metadata(place.at("hole2")).unwrap().len(), 1 << 20);
}

#[test]
fn files_that_claim_to_be_empty_are_read_to_their_end() {
    let place = Place::new();
    copy(Path::new("/proc/self/status"), &place.at("status")).unwrap();
    assert!(fs::read_to_string(place.at("status")).unwrap().contains("VmRSS"));
}

#[test]
fn a_link_is_copied_as_a_link_unless_it_is_followed() {
    let place = Place::new();
    place.write("dir/file", "content");
    symlink("dir", place.at("link")).unwrap();
    copy(&place.at("link"), &place.at("as-link")).unwrap();
    assert_eq!(fs::read_link(place.at("as-link")).unwrap(), Path::new("dir"));
    let items = TreeReader::open(&place.at("link"), true).unwrap().chain([Item::End]);
    crate::place::write(items, &place.at("followed"), WriterOptions::default()).unwrap();
    assert_eq!(fs::read(place.at("followed/file")).unwrap(), b"content");
}

#[test]
fn what_cannot_be_copied_is_told_and_the_rest_comes() {
    let place = Place::new();
    place.write("from/file", "x");
    mkfifoat(CWD, place.at("from/fifo"), Mode::from_raw_mode(0o600)).unwrap();
    let items = read(&place.at("from"));
    let skipped: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Skipped(skipped) => Some(skipped),
            _ => None,
        })
        .collect();
    let path = place.at("from/fifo");
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].path, path.as_os_str().as_bytes());
    assert_eq!((skipped[0].reason.as_str(), skipped[0].is_failure), ("is a named pipe", false));
    copy(&place.at("from"), &place.at("to")).unwrap();
    assert!(place.at("to/file").exists() && !place.at("to/fifo").exists());
    let error = TreeReader::open(&path, false).unwrap_err();
    assert!(matches!(error, ReadError::Kind { kind: "a named pipe", .. }), "{error}");
    assert!(matches!(TreeReader::open(&place.at("none"), false), Err(ReadError::Missing { .. })));
}

#[test]
fn a_tree_that_is_too_deep_is_cut_and_told() {
    let place = Place::new();
    let mut deep = place.at("from");
    for _ in 0..DEPTH_MAX + 2 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let items = read(&place.at("from"));
    let failures = items.iter().filter(|item| matches!(item, Item::Skipped(skipped) if skipped.is_failure));
    assert_eq!(failures.count(), 1);
    copy(&place.at("from"), &place.at("to")).unwrap();
}

#[test]
fn a_file_is_under_its_name_only_when_it_is_whole() {
    let place = Place::new();
    let from = place.write("from", vec![b'x'; 3 * CHUNK_BYTES]);
    let to = place.directory("to");
    place.write("to/from", "old");
    let items = read(&from);
    // Cut off after each item: the old file stays, and nothing else is left.
    for cut in 0..items.len() - 1 {
        let error = crate::place::write(items[..cut].to_vec(), &to, WriterOptions::default()).unwrap_err();
        assert!(matches!(error, WriteError::CutOff), "{error}");
        let is_renamed = cut == items.len() - 1;
        let expected = if is_renamed { 3 * CHUNK_BYTES } else { 3 };
        if fs::read(place.at("to/from")).unwrap().len() != expected {
            // The end of the file arrived; only the end of the tree is missing.
            assert!(matches!(items[cut - 1], Item::FileEnd { .. }));
        }
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    }
}
