//! The documents' statements about tests stay true: each test, scenario and figure that they name exists.

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Collects all Rust sources below a directory.
fn sources(directory: &Path, found: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Returns the names in backticks that could be names of functions: lower case, with an underscore.
fn names(text: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn every_test_scenario_and_figure_that_the_documents_name_exists() {
    // The fuzz targets are listed in the manifest that builds them.
    let mut code = fs::read_to_string(workspace().join("fuzz/Cargo.toml")).unwrap();
    for directory in ["crates", "tests"] {
        sources(&workspace().join(directory), &mut code);
    }
    for document in ["docs/testing.md", "SPECIFICATION.md"] {
        let text = fs::read_to_string(workspace().join(document)).unwrap();
        let named = names(&text);
        assert!(named.len() > 10, "{document} names {named:?}");
        for name in named {
            let exists =
                [format!("fn {name}("), format!("\"{name}\"")].iter().any(|form| code.contains(form));
            assert!(exists, "{document} names `{name}`, and there is no such test, scenario or figure");
        }
    }
}
