//! Prepares `/tmp` as systemd would, before anybody can write there: the host copies files into a guest and runs commands in
//! it while its init has only just started, and the init's first actions would remove or hide those files.
//!
//! The init's own configuration says what it would do. Emptying is done here, and the line that requests it is replaced in
//! `/run`; a file system in memory is mounted here, and systemd finds its mount unit active. A line that the image's
//! administrator wrote below `/etc` cannot be replaced: it stays, and the init obeys it.
//! Sources: `tmpfiles.d(5)`, `systemd.mount(5)`.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use crate::console;

const PLACE: &str = "tmp";
/// Directories of `tmpfiles.d`; the first one takes precedence.
const RULES: [&str; 4] =
    ["etc/tmpfiles.d", "run/tmpfiles.d", "usr/local/lib/tmpfiles.d", "usr/lib/tmpfiles.d"];
const OVERRIDES: &str = "run/tmpfiles.d";
/// Files in earlier directories cannot be replaced by one in `run`.
const REPLACEABLE_FROM: usize = 2;
/// Directories of units; the first one takes precedence.
const UNITS: [&str; 3] = ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];
const MOUNT_UNIT: &str = "tmp.mount";
const WANTED_BY: &str = "local-fs.target.wants/tmp.mount";

/// `/tmp` could not be prepared as the init would.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare `/tmp`: what is written there now may be removed by the init")]
struct TemporaryError {
    source: io::Error,
}

/// Prepares `/tmp` as the init would.
pub(super) fn prepare(root: &Path) {
    let place = root.join(PLACE);
    // If it is a link, neither of the two is done with its target.
    if !fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
        return;
    }
    let prepared = match mount_options(root) {
        Some(options) => mount(&place, &options),
        None => empty(root, &place),
    };
    if let Err(source) = prepared {
        console::error(&TemporaryError { source });
    }
}

fn mount(place: &Path, options: &str) -> io::Result<()> {
    let (flags, data) = parse_options(options);
    let data = CString::new(data)?;
    Ok(rustix::mount::mount("tmpfs", place, "tmpfs", flags, data.as_c_str())?)
}

fn empty(root: &Path, place: &Path) -> io::Result<()> {
    let emptying: Vec<_> = replaceable_rules(root)
        .into_iter()
        .filter_map(|(name, text)| Some((name, without_emptying(&text)?)))
        .collect();
    if emptying.is_empty() {
        return Ok(());
    }
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    // Done last: an init that still empties the directory does no harm to an empty one.
    fs::create_dir_all(root.join(OVERRIDES))?;
    emptying.iter().try_for_each(|(name, text)| fs::write(root.join(OVERRIDES).join(name), text))
}

/// Returns the effective files of rules that a file in `/run` can replace, by name.
fn replaceable_rules(root: &Path) -> BTreeMap<OsString, String> {
    let mut files = BTreeMap::<OsString, (usize, PathBuf)>::new();
    for (rank, directory) in RULES.iter().enumerate() {
        for entry in fs::read_dir(root.join(directory)).into_iter().flatten().flatten() {
            files.entry(entry.file_name()).or_insert((rank, entry.path()));
        }
    }
    let replaceable = files.into_iter().filter(|(name, (rank, _))| {
        *rank >= REPLACEABLE_FROM && Path::new(name).extension().is_some_and(|extension| extension == "conf")
    });
    replaceable.filter_map(|(name, (_, path))| Some((name, fs::read_to_string(path).ok()?))).collect()
}

/// Returns the rules with those that empty `/tmp` changed to rules that create it; `None` if there are none.
fn without_emptying(rules: &str) -> Option<String> {
    let mut has_changed = false;
    let mut lines: Vec<String> = Vec::new();
    for line in rules.lines() {
        let mut words = line.split_ascii_whitespace();
        let (kind, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let empties = kind.starts_with('D') && path.trim_end_matches('/') == "/tmp";
        has_changed |= empties;
        lines.push(if empties { line.replacen('D', "d", 1) } else { line.to_owned() });
    }
    has_changed.then(|| lines.join("\n") + "\n")
}

/// Returns the options with which the init would mount a file system in memory; `None` if it would not mount one.
fn mount_options(root: &Path) -> Option<String> {
    let is_wanted =
        UNITS.iter().any(|directory| fs::symlink_metadata(root.join(directory).join(WANTED_BY)).is_ok());
    let unit = UNITS.iter().map(|directory| root.join(directory).join(MOUNT_UNIT));
    let unit = unit.filter(|_| is_wanted).find(|unit| fs::symlink_metadata(unit).is_ok())?;
    // A masked unit is a link to `/dev/null`, which has no lines.
    let text = fs::read_to_string(unit).ok()?;
    let value =
        |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix('='));
    (value("Type").map(str::trim) == Some("tmpfs"))
        // `%%` is a percent sign (`systemd.unit(5)`).
        .then(|| value("Options").unwrap_or_default().trim().replace("%%", "%"))
}

fn parse_options(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "rw" | "defaults" => {}
            option => data.push(option),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guest(tempfile::TempDir);

    impl Guest {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.0.path().join(path)).ok()
        }
    }

    const EMPTIES: &str = "# Clear\nD /tmp 1777 root root -\nq /var/tmp 1777 root root 30d\n";
    const MAKES: &str = "# Clear\nd /tmp 1777 root root -\nq /var/tmp 1777 root root 30d\n";

    #[test]
    fn what_the_init_would_empty_is_emptied_now_and_not_again() {
        let guest = Guest::new(&[
            ("usr/lib/tmpfiles.d/tmp.conf", EMPTIES),
            ("tmp/old/file", "x"),
            ("tmp/.hidden", "x"),
        ]);
        std::os::unix::fs::symlink("/etc", guest.0.path().join("tmp/link")).unwrap();
        prepare(guest.0.path());
        assert_eq!(fs::read_dir(guest.0.path().join("tmp")).unwrap().count(), 0);
        assert_eq!(guest.read("run/tmpfiles.d/tmp.conf").as_deref(), Some(MAKES));
    }

    #[test]
    fn what_the_init_keeps_is_kept() {
        for rules in [
            &[][..],
            &[("usr/lib/tmpfiles.d/tmp.conf", "q /tmp 1777 root root 10d\n")],
            &[("usr/lib/tmpfiles.d/x11.conf", "D! /tmp/.X11-unix 1777 root root 10d\n")],
            &[("usr/lib/tmpfiles.d/tmp.conf", EMPTIES), ("etc/tmpfiles.d/tmp.conf", "")],
            &[("usr/lib/tmpfiles.d/tmp.conf.dpkg-old", EMPTIES)],
            // The image's administrator wants it so, and a file in `/run` would have no effect.
            &[("etc/tmpfiles.d/tmp.conf", EMPTIES)],
        ] {
            let guest = Guest::new(&[rules, &[("tmp/file", "x")]].concat());
            prepare(guest.0.path());
            assert_eq!(guest.read("tmp/file").as_deref(), Some("x"), "{rules:?}");
            assert!(!guest.0.path().join("run").exists(), "{rules:?}");
        }
    }

    #[test]
    fn a_link_is_left_alone() {
        let guest = Guest::new(&[("usr/lib/tmpfiles.d/tmp.conf", EMPTIES), ("var/tmp/file", "x")]);
        std::os::unix::fs::symlink("var/tmp", guest.0.path().join("tmp")).unwrap();
        prepare(guest.0.path());
        assert_eq!(guest.read("var/tmp/file").as_deref(), Some("x"));
    }

    #[test]
    fn a_file_system_in_memory_is_mounted_where_the_init_wants_one() {
        let unit =
            "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\nOptions=mode=1777,nosuid,size=50%%,nr_inodes=1m\n";
        let (own, wanted) =
            ("usr/lib/systemd/system/tmp.mount", "usr/lib/systemd/system/local-fs.target.wants/tmp.mount");
        let options = |files: &[(&str, &str)]| mount_options(Guest::new(files).0.path());
        assert_eq!(
            options(&[(own, unit), (wanted, "")]).as_deref(),
            Some("mode=1777,nosuid,size=50%,nr_inodes=1m")
        );
        assert_eq!(options(&[(own, unit)]), None, "nobody wants it");
        assert_eq!(
            options(&[(own, unit), (wanted, ""), ("etc/systemd/system/tmp.mount", "")]),
            None,
            "masked"
        );
        let (flags, data) = parse_options("mode=1777,strictatime,nosuid,nodev,size=50%");
        assert_eq!(flags, MountFlags::STRICTATIME | MountFlags::NOSUID | MountFlags::NODEV);
        assert_eq!(data, "mode=1777,size=50%");
    }
}
