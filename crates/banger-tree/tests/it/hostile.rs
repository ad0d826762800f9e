//! A hostile sender, or a hostile directory, cannot cause writes outside the destination.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use banger_tree::{DEPTH_MAX, Item, Owners, WriteError, WriterOptions};

use crate::place::{Place, enter, file, link, metadata, name, write};

/// A place with a secret file beside the destination.
fn place() -> Place {
    let place = Place::new();
    place.write("secret/file", "secret");
    place.directory("to");
    place
}

fn send(place: &Place, items: Vec<Item>) -> Result<(), WriteError> {
    let whole = items.into_iter().chain([Item::End]);
    write(whole, &place.at("to"), WriterOptions::default()).map(drop)
}

fn assert_secret_is_untouched(place: &Place) {
    assert_eq!(fs::read(place.at("secret/file")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(place.at("secret")).unwrap().count(), 1);
}

#[test]
fn a_link_that_came_before_leads_nothing_out() {
    let place = place();
    let secret = place.at("secret");
    // A directory through a link.
    let error = send(&place, [vec![link("a", &secret), enter("a")], file("file", 0o644, b"x")].concat());
    assert!(matches!(error, Err(WriteError::NoDirectoryThere { .. })), "{error:?}");
    assert_secret_is_untouched(&place);
    // A file through a link: the link is replaced.
    send(&place, [vec![link("b", secret.join("file"))], file("b", 0o644, b"x")].concat()).unwrap();
    assert_secret_is_untouched(&place);
    assert_eq!(fs::read(place.at("to/b")).unwrap(), b"x");
    // A link to the parent, then a path through it.
    let error = send(&place, vec![link("up", ".."), enter("up"), enter("secret")]);
    assert!(matches!(error, Err(WriteError::NoDirectoryThere { .. })), "{error:?}");
}

#[test]
fn a_link_that_lies_there_leads_nothing_out() {
    let place = place();
    symlink(place.at("secret"), place.at("to/sub")).unwrap();
    let items = [vec![enter("sub")], file("file", 0o644, b"x"), vec![Item::Leave]].concat();
    assert!(matches!(send(&place, items), Err(WriteError::NoDirectoryThere { .. })));
    assert_secret_is_untouched(&place);
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_meanwhile_leads_nothing_out() {
    let place = place();
    let mut writer = banger_tree::TreeWriter::open(&place.at("to"), WriterOptions::default()).unwrap();
    writer.take(enter("sub")).unwrap();
    fs::rename(place.at("to/sub"), place.at("to/moved")).unwrap();
    symlink(place.at("secret"), place.at("to/sub")).unwrap();
    for item in file("file", 0o644, b"x") {
        writer.take(item).unwrap();
    }
    assert_secret_is_untouched(&place);
    assert_eq!(fs::read(place.at("to/moved/file")).unwrap(), b"x");
}

#[test]
fn a_file_of_ours_has_no_special_bits_and_our_owner() {
    let place = place();
    let mut items = file("tool", 0o6755, b"x");
    if let Item::File { metadata, .. } = &mut items[0] {
        (metadata.uid, metadata.gid) = (4242, 4242);
    }
    items.extend([
        Item::Enter { name: Some(name("dir")), metadata: Some(metadata(0o7777)) },
        Item::Leave,
        link("link", "tool"),
    ]);
    send(&place, items).unwrap();
    let ours = rustix::process::geteuid().as_raw();
    for (path, mode) in [("to/tool", 0o755), ("to/dir", 0o777), ("to/link", 0o777)] {
        let metadata = fs::symlink_metadata(place.at(path)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (mode, ours), "{path}");
    }
}

#[test]
fn owners_are_kept_by_root_with_or_without_special_bits() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (special_bits, expected) in [(true, 0o6755), (false, 0o755)] {
        let place = place();
        let mut items = file("tool", 0o6755, b"x");
        if let Item::File { metadata, .. } = &mut items[0] {
            (metadata.uid, metadata.gid) = (4242, 4243);
        }
        items.push(Item::End);
        let owners = Owners::Kept { special_bits };
        write(items, &place.at("to"), WriterOptions { owners, ..WriterOptions::default() }).unwrap();
        let metadata = fs::metadata(place.at("to/tool")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (4242, 4243, expected));
    }
}

#[test]
fn a_tree_without_form_is_refused_and_leaves_no_part_of_a_file() {
    let data = || Item::Data { offset: 0, content: "x".into() };
    let begun = || Item::File { name: name("f"), metadata: metadata(0o644), size: 1 };
    let nameless = || Item::Enter { name: None, metadata: None };
    for items in [
        vec![data()],
        vec![Item::FileEnd { size: 0 }],
        vec![Item::FileBroken],
        vec![Item::Leave],
        vec![begun(), begun()],
        vec![begun(), enter("d")],
        vec![begun(), Item::Leave],
        vec![begun(), data()],
        vec![enter("d")],
        vec![enter("d"), nameless()],
        vec![Item::End],
        [file("g", 0o644, b"x"), vec![Item::End, enter("d")]].concat(),
    ] {
        let place = place();
        let error = send(&place, items.clone());
        assert!(matches!(error, Err(WriteError::Malformed { .. })), "{items:?}: {error:?}");
        let left = place.list("to");
        assert!(
            left.iter().all(|line| line.starts_with("d ") || line.starts_with("g ")),
            "{items:?}: {left:?}"
        );
    }
}

#[test]
fn depth_and_offsets_have_bounds() {
    let place = place();
    let deep: Vec<Item> = (0..=DEPTH_MAX).map(|_| enter("d")).collect();
    assert!(matches!(send(&place, deep), Err(WriteError::TooDeep { .. })));
    for offset in [u64::MAX, 1 << 63] {
        let begun = Item::File { name: name("f"), metadata: metadata(0o644), size: 1 };
        let error = send(&place, vec![begun, Item::Data { offset, content: "x".into() }]);
        assert!(matches!(error, Err(WriteError::Write { .. })), "{error:?}");
    }
    assert_eq!(place.list("to").iter().filter(|line| !line.starts_with('d')).count(), 0);
}
