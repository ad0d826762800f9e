//! The modules of a crate use each other one way: no file uses a file that uses it, directly or indirectly.
//!
//! A file uses another if it names an item that is defined there. A name is followed through `use` and re-exports to the
//! file that defines it, so a `mod.rs` that only lists its children causes no circle. Tests are not checked, and neither are
//! methods, because a call does not name a file.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the whole program is a test; a panic names what is wrong"
)]

mod mentions;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{Arrows, Crate};

/// Returns the circles among files: sets of files in which each file reaches all others.
fn circles(arrows: &Arrows) -> Vec<BTreeSet<PathBuf>> {
    let reached = |from: &PathBuf| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for to in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(to.clone()) {
                    next.push(to);
                }
            }
        }
        reached
    };
    let all: BTreeMap<&PathBuf, BTreeSet<PathBuf>> =
        arrows.keys().map(|file| (file, reached(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, reaches) in &all {
        if reaches.contains(*file) {
            circles.insert(
                reaches
                    .iter()
                    .filter(|other| all.get(other).is_some_and(|back| back.contains(*file)))
                    .cloned()
                    .collect(),
            );
        }
    }
    circles.into_iter().collect()
}

/// Formats the dependencies inside each circle of a crate.
fn drawn_circles(root: &Path) -> Vec<String> {
    let arrows = Crate::read(root).arrows();
    let folder = root.parent().unwrap();
    let short = |file: &Path| file.strip_prefix(folder).unwrap_or(file).display().to_string();
    let drawn = circles(&arrows).into_iter().map(|circle| {
        let lines = circle.iter().flat_map(|file| {
            arrows[file]
                .iter()
                .filter(|(to, _)| circle.contains(*to))
                .map(move |(to, name)| format!("  {} uses {} of {}\n", short(file), name, short(to)))
        });
        format!("{} files:\n{}", circle.len(), lines.collect::<String>())
    });
    drawn.collect()
}

fn crates() -> Vec<(String, PathBuf)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates"));
    let mut crates = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let roots = ["lib.rs", "main.rs"].map(|root| entry.path().join("src").join(root));
        let root = roots.into_iter().find(|root| root.exists()).unwrap();
        crates.push((entry.file_name().into_string().unwrap(), root));
    }
    crates.sort();
    crates
}

#[test]
fn no_file_uses_a_file_that_uses_it() {
    let crates = crates();
    assert!(crates.len() > 10, "{crates:?}");
    for (name, root) in crates {
        let circles = drawn_circles(&root);
        assert!(circles.is_empty(), "{name} has circles among its files:\n{}", circles.join("\n"));
    }
}

/// Returns the folders of the image crate in the order in which ARCHITECTURE.md lists them.
fn folders_of_image() -> Vec<String> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md")).unwrap();
    let (_, list) = text.split_once("\nFolders of `banger-image`").unwrap();
    let (_, list) = list.split_once(':').unwrap();
    let list = list.split_once('.').unwrap().0;
    list.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

/// Returns the uses of a crate that go against the order of its folders, or from a file beside them into one.
fn against_order(root: &Path, folders: &[String]) -> Vec<String> {
    let source = root.parent().unwrap();
    // A file `x.rs` beside the folders counts as the folder `x`; 0 is for files that are not in the list.
    let rank = |file: &Path| {
        let first = file.strip_prefix(source).unwrap().iter().next().unwrap().to_str().unwrap();
        let name = first.trim_end_matches(".rs");
        folders.iter().position(|folder| folder == name).map_or(0, |place| place + 1)
    };
    let is_checked = |file: &Path| !["lib.rs", "fuzzing.rs"].iter().any(|name| source.join(name) == file);
    let mut against = Vec::new();
    for (from, uses) in Crate::read(root).arrows().iter().filter(|(from, _)| is_checked(from)) {
        for (to, name) in uses.iter().filter(|(to, _)| rank(from) < rank(to)) {
            let short = |file: &Path| file.strip_prefix(source).unwrap().display().to_string();
            against.push(format!("{} uses {name} of {}", short(from), short(to)));
        }
    }
    against
}

#[test]
fn folders_of_the_image_crate_use_only_those_before_them() {
    let folders = folders_of_image();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/banger-image/src/lib.rs"));
    let present = |name: &String| {
        let place = root.with_file_name(name);
        place.is_dir() || place.with_extension("rs").is_file()
    };
    assert!(folders.len() > 5 && folders.iter().all(present), "{folders:?}");
    assert_eq!(against_order(root, &folders), Vec::<String>::new());
    let reversed: Vec<_> = folders.into_iter().rev().collect();
    assert!(!against_order(root, &reversed).is_empty());
}

/// Returns the Rust files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn only_http_of_the_daemon_knows_the_contract_with_clients() {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/banger-daemon/src"));
    let knows = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("banger_api");
    let (http, others): (Vec<_>, Vec<_>) =
        files_below(source).into_iter().filter(knows).partition(|file| file.starts_with(source.join("http")));
    assert!(http.len() > 5, "{http:?}");
    assert_eq!(others, Vec::<PathBuf>::new());
}

/// Writes a crate with these files and formats its circles.
fn drawn(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    drawn_circles(&directory.path().join("lib.rs"))
}

#[test]
fn a_circle_is_found_through_reexports_parents_and_macros() {
    let circles = drawn(&[
        ("lib.rs", "mod a; mod b; pub use b::Banana;"),
        ("a/mod.rs", "mod inner; pub(crate) use inner::Apple;"),
        ("a/inner.rs", "use crate::Banana; pub(crate) struct Apple(Banana);"),
        ("b.rs", "use super::a; pub struct Banana; fn f() { println!(\"{:?}\", a::Apple::new()); }"),
    ]);
    assert_eq!(
        circles,
        ["2 files:\n  a/inner.rs uses Banana of b.rs\n  b.rs uses a::Apple::new of a/inner.rs\n"]
    );
}

#[test]
fn tests_visibility_and_lists_of_children_make_no_circle() {
    let circles = drawn(&[
        ("lib.rs", "mod a; mod b; pub use a::Apple;"),
        ("a.rs", "use crate::b::Banana; pub struct Apple(pub(crate) Banana);"),
        (
            "b.rs",
            "pub(super) struct Banana; #[cfg(test)] mod tests { use crate::Apple; } #[cfg(test)] fn f(_: crate::a::Apple) {}",
        ),
    ]);
    assert_eq!(circles, Vec::<String>::new());
}
