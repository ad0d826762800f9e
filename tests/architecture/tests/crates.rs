//! Compares the table of crates in ARCHITECTURE.md with `cargo metadata`: every crate has a row, and uses only crates that
//! its row names. Dependencies of a crate's own tests are not checked, because tests may join what the crates keep apart.
//! Compares the targets with the Makefile, too: `make test` runs all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, Target, TargetKind};

/// The crates that a crate may use, by their names in the table: `model`, `tests/smoke`.
type Rules = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns a crate's name as it appears in the second and third column.
fn short(name: &str) -> String {
    name.trim_matches('`').trim_start_matches("banger-").trim_start_matches("tests/").to_owned()
}

/// Reads the table of the section "Crates".
fn rules(text: &str) -> Rules {
    let section = text.split("\n## ").find(|section| section.starts_with("Crates\n")).unwrap_or_default();
    let rows: Vec<(String, &str)> = section
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> =
                line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 3, "{line}");
            let [name, _is, may_use] = cells.as_slice() else { return None };
            name.starts_with('`').then(|| (short(name), *may_use))
        })
        .collect();
    let all: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    rows.into_iter().map(|(name, may_use)| (name, allowed(may_use, &all))).collect()
}

/// Reads a cell: nothing, names, or all except some names.
fn allowed(cell: &str, all: &BTreeSet<String>) -> BTreeSet<String> {
    let names = |text: &str| -> BTreeSet<String> {
        text.replace(" and ", ", ")
            .split(", ")
            .map(short)
            .inspect(|name| assert!(all.contains(name), "{name}: no such row"))
            .collect()
    };
    match cell.strip_prefix("all but ") {
        Some(but) => all.difference(&names(but)).cloned().collect(),
        None if cell == "–" => BTreeSet::new(),
        None => names(cell),
    }
}

/// Returns the dependencies that no row allows, as `from → to`, and crates without a row.
fn broken(rules: &Rules, used: &Rules) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, uses) in used {
        let Some(may_use) = rules.get(name) else {
            broken.push(format!("{name} has no row"));
            continue;
        };
        broken.extend(uses.difference(may_use).map(|to| format!("{name} → {to}")));
    }
    broken.extend(
        rules.keys().filter(|name| !used.contains_key(*name)).map(|name| format!("{name} does not exist")),
    );
    broken
}

fn uses(package: &Package) -> BTreeSet<String> {
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(|dependency| dependency.path.is_some() && dependency.kind != DependencyKind::Development)
        .map(|dependency| short(&dependency.name))
        .collect()
}

fn metadata() -> cargo_metadata::Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned(), "--locked".to_owned()])
        .exec()
}

#[test]
fn every_crate_uses_only_what_its_row_names() {
    let used: Rules =
        metadata().unwrap().packages.iter().map(|package| (short(&package.name), uses(package))).collect();
    assert!(used.len() > 10, "{used:?}");
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert_eq!(
        broken(&rules(&text), &used),
        Vec::<String>::new(),
        "the table of crates in ARCHITECTURE.md is not true"
    );
}

#[test]
fn an_arrow_without_a_row_and_a_row_without_a_crate_are_told() {
    let table = "# A\n\n## Crates\n\n| crate | is | may use |\n|---|---|---|\n| `banger-model` | x | – |\n| `banger-api` | x | model |\n\
        | `banger-daemon` | x | all but api and cli |\n| `tests/smoke` | x | api, model |\n| `banger-cli` | x | – |\n\n## More\n| `a` | b | c |\n";
    let rules = rules(table);
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(rules["daemon"], of(&["daemon", "model", "smoke"]));
    let used = Rules::from([
        ("model".into(), of(&[])),
        ("api".into(), of(&["model", "cli"])),
        ("daemon".into(), of(&["api"])),
        ("smoke".into(), of(&["api"])),
        ("sys".into(), of(&[])),
    ]);
    assert_eq!(broken(&rules, &used), ["api → cli", "daemon → api", "sys has no row", "cli does not exist"]);
}

#[test]
fn make_test_runs_every_target() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let lanes: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| {
            line.strip_prefix("GUEST_TESTS := ").or_else(|| line.strip_prefix("CRATE_TESTS := "))
        })
        .flat_map(|lane| lane.split("--").map(str::trim))
        .map(|target| target.trim_start_matches("test "))
        .collect();
    let targets: Vec<_> =
        metadata().unwrap().packages.into_iter().flat_map(|package| package.targets).collect();
    let forgotten: Vec<String> = targets
        .into_iter()
        .filter(|target| (target.test || target.doctest) && !lanes.contains(lane(target)))
        .map(|target| format!("{} ({:?})", target.name, target.kind))
        .collect();
    assert_eq!(
        forgotten,
        Vec::<String>::new(),
        "the Makefile's GUEST_TESTS and CRATE_TESTS leave targets out"
    );
}

/// What selects a target on the command line of `cargo test`.
fn lane(target: &Target) -> &str {
    match target.kind.first() {
        _ if target.doctest => "doc",
        Some(TargetKind::Bin) => "bins",
        Some(TargetKind::Test) => &target.name,
        Some(TargetKind::Lib) => "lib",
        _ => "examples",
    }
}
