//! Which of the host's package sources carry a Debian suite. Source: `sources.list(5)`.
//!
//! Sources of third parties for the same suite are left out: they have no component `main` beside Debian's own names.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::bounded::read_text;

/// Larger than any list of sources or mirrors.
pub(crate) const SOURCES_BYTES_MAX: u64 = 1 << 20;
const MAIN_FILE: &str = "/etc/apt/sources.list";
const DIRECTORY: &str = "/etc/apt/sources.list.d";
const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];
/// Fields of a stanza that are carried over besides place and content.
const OPTIONS: [&str; 5] = ["Signed-By", "Trusted", "Check-Valid-Until", "Check-Date", "Snapshot"];

/// One file of `/etc/apt/sources.list*`.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

#[derive(Debug, Default)]
struct Stanza {
    fields: Vec<(String, String)>,
}

/// Returns the host's source files in apt's order.
pub(crate) fn read_source_files() -> Vec<SourceFile> {
    let mut paths: Vec<_> =
        fs::read_dir(DIRECTORY).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.insert(0, MAIN_FILE.into());
    let file = |path: &Path| {
        let name = path.to_str()?.to_owned();
        Some(SourceFile { text: read_text(path, SOURCES_BYTES_MAX).ok()?, name })
    };
    paths.iter().filter_map(|path| file(path)).collect()
}

/// Returns the sources of this suite in the deb822 form; nothing when the host has none. `read_mirrors` returns the
/// text of a mirror list, which no guest would find under its path.
pub(crate) fn select_sources(
    files: &[SourceFile],
    suite: &str,
    read_mirrors: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let stanzas = files.iter().flat_map(|file| match file.name.rsplit('.').next() {
        Some("sources") => parse_deb822(&file.text),
        Some("list") => parse_lines(&file.text),
        _ => Vec::new(),
    });
    let texts: Vec<_> = stanzas.filter_map(|stanza| stanza.of_suite(suite, &read_mirrors)).collect();
    // The suite itself has to be there: its updates alone are no system.
    let has_suite = texts.iter().any(|text| {
        let suites = text.lines().find_map(|line| line.strip_prefix("Suites:")).unwrap_or_default();
        suites.split_whitespace().any(|word| word == suite)
    });
    has_suite.then(|| texts.join("\n"))
}

impl Stanza {
    fn words(&self, name: &str) -> Vec<&str> {
        self.text(name).map(|text| text.split_whitespace().collect()).unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| text.as_str())
    }

    fn of_suite(&self, suite: &str, read_mirrors: &impl Fn(&str) -> Option<String>) -> Option<String> {
        let is_off = self.text("Enabled").is_some_and(|text| ["no", "false", "0"].contains(&text));
        let suites: Vec<_> =
            self.words("Suites").into_iter().filter(|name| is_of_suite(name, suite)).collect();
        let components: Vec<_> =
            self.words("Components").into_iter().filter(|name| COMPONENTS.contains(name)).collect();
        let uris: Vec<_> =
            self.words("URIs").into_iter().flat_map(|uri| reachable(uri, read_mirrors)).collect();
        let is_binary = self.words("Types").contains(&"deb");
        if is_off || !is_binary || suites.is_empty() || uris.is_empty() || !components.contains(&"main") {
            return None;
        }
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n",
            uris.join(" "),
            suites.join(" "),
            components.join(" ")
        );
        for option in OPTIONS {
            if let Some(value) = self.text(option) {
                let _ = writeln!(text, "{option}: {value}");
            }
        }
        Some(text)
    }
}

/// Returns the addresses that a guest can use, too.
fn reachable(uri: &str, read_mirrors: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    if let Some(path) = uri.strip_prefix("mirror+file:") {
        let path = format!("/{}", path.trim_start_matches('/'));
        let list = read_mirrors(&path).unwrap_or_default();
        let first_words = list.lines().filter(|line| !line.starts_with('#'));
        return first_words.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    }
    if uri.starts_with("cdrom:") { Vec::new() } else { vec![uri.to_owned()] }
}

fn parse_deb822(text: &str) -> Vec<Stanza> {
    let mut stanzas = vec![Stanza::default()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(stanza) = stanzas.last_mut() else { break };
        if line.trim().is_empty() {
            stanzas.push(Stanza::default());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    stanzas
}

/// `deb [option=value …] uri suite component…`
fn parse_lines(text: &str) -> Vec<Stanza> {
    let stanza = |line: &str| {
        let line = line.split('#').next()?.trim();
        let (kind, rest) = line.split_once(char::is_whitespace)?;
        let rest = rest.trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let mut fields = vec![
            ("Types".to_owned(), kind.to_owned()),
            ("URIs".to_owned(), words.next()?.to_owned()),
            ("Suites".to_owned(), words.next()?.to_owned()),
            ("Components".to_owned(), words.collect::<Vec<_>>().join(" ")),
        ];
        let options = options.split_whitespace().filter_map(|option| option.split_once('='));
        fields.extend(options.map(|(name, value)| (name.to_owned(), value.replace(',', " "))));
        Some(Stanza { fields })
    };
    text.lines().filter_map(stanza).collect()
}

/// Returns whether a release is a suite or one of its updates.
pub(super) fn is_of_suite(release: &str, suite: &str) -> bool {
    release.strip_prefix(suite).is_some_and(|rest| ["", "-updates", "-security"].contains(&rest))
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
