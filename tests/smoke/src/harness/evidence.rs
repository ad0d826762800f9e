//! Evidence from the homes of a failed scenario: the logs and events that show the cause. Whole files are kept below
//! `target`; their ends are printed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Banger, home};

/// Number of lines that are shown of each file.
const LINES_SHOWN: usize = 40;
/// How long a daemon that may be damaged has to answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// Keeps the files of all homes below this room, and returns the excerpts to print.
pub(super) fn gather(room: &Path, keep: &Path) -> String {
    let mut shown = String::new();
    for home in homes(room) {
        let place = keep.join(home.file_name().unwrap_or_default());
        let state = home.join("state");
        let mut files =
            vec![("daemon log".to_owned(), read(&state.join("bangerd.log")), "bangerd.log".to_owned())];
        for vm in fs::read_dir(state.join("vms")).into_iter().flatten().flatten() {
            let id = vm.file_name().to_string_lossy().into_owned();
            let console = read(&vm.path().join("console.log"));
            files.push((format!("console of VM {id}"), console, format!("console-{id}.log")));
        }
        for (title, arguments, name) in [
            ("VMs", &["vm", "list", "--json"][..], "vms.json"),
            ("events", &["events", "--after", "0", "--no-follow"], "events.jsonl"),
        ] {
            let answer = Banger::new(&home, arguments).run_within(DEADLINE);
            files.push((title.to_owned(), answer.stdout + &answer.stderr, name.to_owned()));
        }
        let _ = fs::create_dir_all(&place);
        for (title, text, name) in files {
            let _ = fs::write(place.join(&name), &text);
            let _ = writeln!(shown, "--- {title} ({}):\n{}", place.join(&name).display(), end_of(&text));
        }
    }
    shown
}

/// Ends all processes in the homes below this room, through their own daemon if it answers.
pub(super) fn clear(room: &Path) {
    for home in homes(room) {
        home::clear(&home, DEADLINE);
    }
}

fn homes(room: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(room).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut homes: Vec<PathBuf> = entries.filter(|path| path.join("state").is_dir()).collect();
    homes.sort();
    homes
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES_SHOWN);
    let mut shown = if skipped > 0 { format!("    ({skipped} lines before)\n") } else { String::new() };
    for line in lines.iter().skip(skipped) {
        let _ = writeln!(shown, "    {}", line.trim_end_matches('\r'));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_text_is_shown_with_what_is_left_out() {
        let text: String = (0..50).map(|number| format!("line {number}\r\n")).collect();
        let shown = end_of(&text);
        assert!(shown.starts_with("    (10 lines before)\n    line 10\n"), "{shown}");
        assert!(shown.ends_with("    line 49\n"), "{shown}");
        assert_eq!(end_of("a\n"), "    a\n");
    }
}
