//! Only the requested entry arrives: a guest chooses no name on the host.

use std::path::Path;

use banger_tree::{
    Arrival, ArrivalError, EntryName, FILE_BYTES_MAX, Item, Skipped, Top, Tops, TreeReader, TreeWriter,
    WriterOptions, to_wire,
};
use proptest::prelude::*;

use crate::place::{Place, enter, file, link, metadata, name};

/// Writes what a guest sends for a path into a directory; an error of the arrival ends it, as in a copy.
fn take(place: &Place, asked: &str, items: Vec<Item>) -> Result<(), ArrivalError> {
    let top = Top::of(Path::new(asked), false).unwrap();
    let mut arrival = Arrival::new(Tops::Only(top));
    let mut writer = TreeWriter::open(&place.directory("to"), WriterOptions::default()).unwrap();
    for item in items {
        let item = arrival.take(to_wire(item))?;
        // Errors of the disk are not the subject of these tests.
        if writer.take(item).is_err() {
            break;
        }
    }
    Ok(())
}

fn refusal(asked: &str, items: &[Vec<Item>]) -> (String, Vec<String>) {
    let place = Place::new();
    let error = take(&place, asked, items.concat()).expect_err("it is not what was asked for");
    let names = place.list("to").iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    (error.to_string(), names)
}

fn contents() -> Vec<Item> {
    vec![Item::Enter { name: None, metadata: Some(metadata(0o755)) }]
}

fn end() -> Vec<Item> {
    vec![Item::End]
}

fn leave() -> Vec<Item> {
    vec![Item::Leave]
}

#[test]
fn the_first_entry_with_another_name_ends_the_copy_before_anything_is_written() {
    for asked in ["/var/log/x", "x", "x/", "../x"] {
        for items in [
            [file("a", 0o644, b""), file("authorized_keys", 0o644, b"k"), end()].concat(),
            [vec![enter(".ssh")], file("k", 0o644, b"k"), leave(), end()].concat(),
            vec![link(".bashrc", "/dev/null"), Item::End],
            [contents(), file("authorized_keys", 0o644, b"k"), leave(), end()].concat(),
            [file("X", 0o644, b""), end()].concat(),
        ] {
            let (error, names) = refusal(asked, &[items]);
            assert!(error.contains("was asked for, but "), "{error}");
            assert_eq!(names, [""; 0], "{asked}: {error}");
        }
    }
}

#[test]
fn a_second_entry_ends_the_copy_and_is_not_written_whatever_its_name() {
    let first = || file("x", 0o644, b"1");
    for second in [
        file("authorized_keys", 0o644, b"k"),
        file("x", 0o644, b"2"),
        vec![enter("x")],
        vec![link("x", "/")],
        contents(),
    ] {
        let (error, names) = refusal("x", &[first(), second]);
        assert!(error.starts_with("`x` was asked for, but ") && error.ends_with(" came as well"), "{error}");
        assert_eq!(names, ["x"]);
    }
    // A link first, then a path through it.
    let (_, names) = refusal("x", &[vec![link("x", "/tmp"), enter("x")]]);
    assert_eq!(names, ["x"]);
    let (error, _) = refusal("x", &[first(), end(), vec![enter("y")]]);
    assert_eq!(error, "the tree is not well-formed: something follows its end");
}

#[test]
fn a_directory_that_was_asked_for_is_no_file_and_no_link() {
    for asked in ["x/", "/x/"] {
        let (error, names) = refusal(asked, &[file("x", 0o644, b"")]);
        assert_eq!(
            (error.as_str(), names.len()),
            ("the directory `x` was asked for, but the file `x` came", 0)
        );
        assert_eq!(refusal(asked, &[vec![link("x", "/")]]).1, [""; 0]);
    }
    for asked in ["x/.", "/", "..", "x/.."] {
        for items in [file("x", 0o644, b""), vec![link("x", "/")], vec![enter("x")]] {
            let (error, names) = refusal(asked, &[items]);
            assert!(error.starts_with("the contents of a directory was asked for, but "), "{error}");
            assert_eq!(names, [""; 0]);
        }
    }
    let followed =
        Arrival::new(Tops::Only(Top::of(Path::new("x"), true).unwrap())).take(to_wire(link("x", "/")));
    assert!(matches!(followed, Err(ArrivalError::OtherTop { .. })), "{followed:?}");
}

#[test]
fn an_end_without_anything_is_not_what_was_asked_for() {
    let skipped = Skipped { path: b"x".to_vec(), reason: "is shy".to_owned(), is_failure: false };
    let (error, _) = refusal("x", &[vec![Item::Skipped(skipped)], end()]);
    assert_eq!(error, "`x` was asked for, but nothing came");
}

#[test]
fn sizes_and_places_of_bytes_have_bounds_before_a_disk_or_a_tar_meets_them() {
    let begun = |size| Item::File { name: name("x"), metadata: metadata(0o644), size };
    let data = |offset| Item::Data { offset, content: "abc".into() };
    for items in [
        vec![begun(FILE_BYTES_MAX + 1)],
        vec![begun(0), data(FILE_BYTES_MAX)],
        vec![begun(0), data(u64::MAX)],
        vec![begun(0), Item::FileEnd { size: 1 << 63 }],
        vec![begun(0), data(7), data(9)],
        vec![begun(0), data(7), Item::FileEnd { size: 9 }],
        vec![begun(0), begun(0)],
        vec![data(0)],
        vec![Item::Leave],
        vec![Item::FileBroken],
    ] {
        assert!(take(&Place::new(), "x", items.clone()).is_err(), "{items:?}");
    }
}

#[test]
fn nothing_follows_a_link_under_its_name_so_that_a_tar_leads_nobody_out() {
    for second in [vec![enter("l")], file("l", 0o644, b""), vec![link("l", "/")]] {
        let (error, _) = refusal("x", &[vec![enter("x"), link("l", "/etc")], second]);
        assert_eq!(error, "the tree is not well-formed: something has the name of a link beside it");
    }
    let elsewhere =
        [vec![enter("x"), link("l", "/etc"), enter("y")], file("l", 0o644, b""), leave(), leave(), end()];
    take(&Place::new(), "x", elsewhere.concat()).unwrap();
}

#[test]
fn whatever_is_read_under_a_path_is_what_the_path_asks_for() {
    let place = Place::new();
    place.write("dir/file", "x");
    std::os::unix::fs::symlink("dir", place.at("link")).unwrap();
    for asked in ["dir", "dir/", "dir/.", "dir/..", "dir/file", "link", "link/", "link/.", "."] {
        for follows in [false, true] {
            let path = place.at(asked);
            let mut arrival = Arrival::new(Tops::Only(Top::of(&path, follows).unwrap()));
            for item in TreeReader::open(&path, follows).unwrap().chain([Item::End]) {
                arrival.take(to_wire(item)).unwrap_or_else(|error| panic!("{asked}: {error}"));
            }
            assert!(arrival.is_whole(), "{asked}");
        }
    }
}

fn any_name() -> impl Strategy<Value = EntryName> {
    prop::sample::select(vec!["x", "y", "X", ".ssh", "authorized_keys"]).prop_map(name)
}

fn any_item() -> impl Strategy<Value = Vec<Item>> {
    let metadata = metadata(0o755);
    prop_oneof![
        any_name().prop_map(move |name| vec![Item::Enter { name: Some(name), metadata: Some(metadata) }]),
        Just(vec![Item::Enter { name: None, metadata: None }]),
        Just(vec![Item::Leave]),
        any_name()
            .prop_map(move |name| vec![Item::File { name, metadata, size: 0 }, Item::FileEnd { size: 0 }]),
        any_name().prop_map(move |name| vec![Item::Link { name, metadata, target: b"..".to_vec() }]),
        Just(vec![Item::End]),
    ]
}

proptest! {
    #[test]
    fn a_guest_says_what_it_wants_and_only_the_name_that_was_asked_for_appears(
        items in prop::collection::vec(any_item(), 0..12), asked in prop::sample::select(vec!["x", "x/", "/a/x"])
    ) {
        let place = Place::new();
        place.write("beside", "untouched");
        let _ = take(&place, asked, items.concat());
        let names: Vec<_> = std::fs::read_dir(place.at("to")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        prop_assert!(names.iter().all(|name| name == "x"), "{names:?}");
        prop_assert_eq!(std::fs::read(place.at("beside")).unwrap(), b"untouched");
        prop_assert_eq!(place.list("").iter().filter(|line| !line.starts_with("to")).count(), 1);
    }
}
