//! The destination has the same meaning as the last argument of `cp`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use banger_tree::{Item, WriteError, WriterOptions};

use crate::place::{Place, copy, read, write};

fn names(place: &Place, path: &str) -> Vec<String> {
    place.list(path).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_file_goes_into_a_directory_or_gets_a_new_name() {
    let place = Place::new();
    let from = place.write("file", "new");
    place.directory("dir");
    copy(&from, &place.at("dir")).unwrap();
    copy(&from, &place.at("dir/renamed")).unwrap();
    assert_eq!(names(&place, "dir"), ["file", "renamed"]);
    place.write("old", "old");
    copy(&from, &place.at("old")).unwrap();
    assert_eq!(fs::read(place.at("old")).unwrap(), b"new");
}

#[test]
fn a_directory_goes_into_one_that_is_there_and_is_renamed_otherwise() {
    let place = Place::new();
    place.write("from/a/file", "x");
    place.directory("to");
    copy(&place.at("from"), &place.at("to")).unwrap();
    copy(&place.at("from"), &place.at("new")).unwrap();
    copy(&place.at("from/"), &place.at("slash/")).unwrap();
    assert_eq!(names(&place, "to"), ["from", "from/a", "from/a/file"]);
    for renamed in ["new", "slash"] {
        assert_eq!(names(&place, renamed), ["a", "a/file"]);
    }
}

#[test]
fn contents_go_where_the_destination_is() {
    let place = Place::new();
    place.write("from/a/file", "x");
    place.directory("to");
    fs::set_permissions(place.at("to"), Permissions::from_mode(0o711)).unwrap();
    copy(&place.at("from/."), &place.at("to")).unwrap();
    copy(&place.at("from/a/.."), &place.at("new")).unwrap();
    for to in ["to", "new"] {
        assert_eq!(names(&place, to), ["a", "a/file"]);
    }
    assert_eq!(fs::metadata(place.at("to")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn directories_that_are_there_are_merged_and_keep_their_permissions() {
    let place = Place::new();
    place.write("from/sub/new", "x");
    fs::set_permissions(place.at("from/sub"), Permissions::from_mode(0o700)).unwrap();
    place.write("to/from/sub/old", "y");
    fs::set_permissions(place.at("to/from/sub"), Permissions::from_mode(0o755)).unwrap();
    copy(&place.at("from"), &place.at("to")).unwrap();
    assert_eq!(names(&place, "to/from/sub"), ["new", "old"]);
    assert_eq!(fs::metadata(place.at("to/from/sub")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn a_file_behind_a_link_is_replaced_and_the_link_stays() {
    let place = Place::new();
    let from = place.write("file", "new");
    place.write("real/target", "old");
    symlink("real/target", place.at("link")).unwrap();
    copy(&from, &place.at("link")).unwrap();
    assert!(place.at("link").is_symlink());
    assert_eq!(fs::read(place.at("real/target")).unwrap(), b"new");
    symlink("nowhere", place.at("dangling")).unwrap();
    let error = copy(&from, &place.at("dangling")).unwrap_err();
    assert!(matches!(error, WriteError::DanglingLink { .. }), "{error}");
}

#[test]
fn destinations_that_make_no_sense_are_refused_with_their_name() {
    let place = Place::new();
    let from = place.write("file", "x");
    place.directory("dir/file");
    place.write("plain/dir", "x");
    let at = |path: &str| place.at(path).display().to_string();
    let refusal = |to: &str| copy(&from, &place.at(to)).unwrap_err().to_string();
    assert_eq!(refusal("none/file"), format!("there is no directory `{}`", at("none")));
    assert_eq!(refusal("none/"), format!("there is no directory `{}`", at("none")));
    assert_eq!(refusal("dir"), format!("`{}` already exists and is a directory", at("dir/file")));
    assert_eq!(refusal("file/x"), format!("`{}` is not a directory", at("file/x")));
    let error = copy(&place.at("dir"), &place.at("plain")).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` already exists and is not a directory", at("plain/dir")));
    let several = WriterOptions { into_directory: true, ..WriterOptions::default() };
    let error = write(read(&from), &place.at("new"), several).unwrap_err();
    assert_eq!(error.to_string(), format!("there is no directory `{}`", at("new")));
    let error = write(read(&from), &from, several).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` is not a directory", at("file")));
}

#[test]
fn a_device_is_no_destination() {
    let place = Place::new();
    let from = place.write("null", "x");
    let error = copy(&from, Path::new("/dev/null")).unwrap_err();
    assert_eq!(error.to_string(), "`/dev/null` is a device, which is not replaced");
    assert_eq!(fs::read(&from).unwrap(), b"x");
}

#[test]
fn only_a_directory_takes_several_things() {
    let place = Place::new();
    let from = place.write("file", "x");
    let twice: Vec<Item> = read(&from).into_iter().filter(|item| *item != Item::End).collect();
    let items = || twice.iter().chain(&twice).cloned().chain([Item::End]);
    let error = write(items(), &place.at("name"), WriterOptions::default()).unwrap_err();
    assert!(matches!(error, WriteError::Malformed { .. }), "{error}");
    write(items(), &place.directory("dir"), WriterOptions::default()).unwrap();
}
