//! The locale and terminal type of a session: those of the caller, if this guest knows them. The image's own settings take
//! precedence. With a missing locale every Perl and Python complains, and with an unknown terminal type editors refuse to
//! start.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use banger_agent_proto::{EnvironmentVariable, ExecStart};

/// Supported by every current C library without any file.
const LOCALE_DEFAULT: &str = "C.UTF-8";
/// Files in which distributions store the administrator's choice of locale.
const LOCALE_FILES: [&str; 2] = ["etc/locale.conf", "etc/default/locale"];
const LOCALES: &str = "usr/lib/locale";
/// `locarchive.h` of glibc.
const ARCHIVE_MAGIC: u32 = 0xde02_0109;
/// Maximum size of the list of names in an archive.
const ARCHIVE_NAMES_BYTES_MAX: u32 = 1024 * 1024;

const TERMINAL_DEFAULT: &str = "xterm-256color";
/// Directories with descriptions of terminal types.
const TERMINFO: [&str; 4] = ["etc/terminfo", "lib/terminfo", "usr/share/terminfo", "usr/lib/terminfo"];
/// Replacements for a type without an entry, the most capable first.
const TERMINALS: [&str; 5] = [TERMINAL_DEFAULT, "xterm", "linux", "vt100", "dumb"];
/// Replacements that come before these for a multiplexer.
const MULTIPLEXERS: [&str; 2] = ["screen-256color", "screen"];

/// Returns the start with the locale and terminal type that this guest knows.
pub(crate) fn settled(mut start: ExecStart, root: &Path) -> ExecStart {
    let locale = locale(root, &start.environment, &start.locale);
    // Later variables win. If the start sets any variable of the locale, the caller's locale is not used.
    start.environment.splice(0..0, locale);
    let terminal = start.environment.iter_mut().rfind(|variable| variable.name == "TERM");
    match terminal {
        Some(variable) if start.terminal_may_fall_back => {
            variable.value = terminal_type(root, &variable.value).into();
        }
        None if start.terminal.is_some() => {
            let value = terminal_type(root, TERMINAL_DEFAULT.as_bytes()).into();
            start.environment.push(EnvironmentVariable { name: "TERM".into(), value });
        }
        Some(_) | None => {}
    }
    start
}

/// Returns the variables of the locale: none if `said` contains any, otherwise the caller's that are known here, and in any
/// case `LANG`.
pub(crate) fn locale(
    root: &Path,
    said: &[EnvironmentVariable],
    callers: &[EnvironmentVariable],
) -> Vec<EnvironmentVariable> {
    if said.iter().any(|variable| is_of_language(&variable.name)) {
        return Vec::new();
    }
    let mut known: Vec<_> = callers.iter().filter(|variable| is_known(root, variable)).cloned().collect();
    if !known.iter().any(|variable| variable.name == "LANG") {
        let value = LOCALE_FILES.iter().find_map(|file| language_of_file(&root.join(file)));
        let value = value.unwrap_or_else(|| LOCALE_DEFAULT.to_owned());
        known.insert(0, EnvironmentVariable { name: "LANG".into(), value: value.into() });
    }
    known
}

/// Returns a terminal type that is described here: the requested one, or the nearest.
pub(crate) fn terminal_type(root: &Path, wanted: &[u8]) -> Vec<u8> {
    let is_described = |name: &[u8]| TERMINFO.iter().any(|place| has_entry(&root.join(place), name));
    let multiplexers: &[&str] =
        if wanted.starts_with(b"tmux") || wanted.starts_with(b"screen") { &MULTIPLEXERS } else { &[] };
    let nearest = multiplexers.iter().chain(&TERMINALS).map(|name| name.as_bytes());
    let found = std::iter::once(wanted).chain(nearest).find(|name| is_described(name));
    match found {
        Some(found) => found.to_vec(),
        // Without any descriptions, programs use built-in ones for the common types.
        None if TERMINALS.iter().any(|name| name.as_bytes() == wanted) => wanted.to_vec(),
        None => TERMINAL_DEFAULT.into(),
    }
}

pub(crate) fn is_of_language(name: &[u8]) -> bool {
    name == b"LANG" || name.starts_with(b"LC_")
}

fn is_known(root: &Path, variable: &EnvironmentVariable) -> bool {
    let Ok(value) = std::str::from_utf8(&variable.value) else { return false };
    let is_name = !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@' | b'-'));
    is_of_language(&variable.name) && is_name && has_locale(root, &variable.name, value)
}

fn has_locale(root: &Path, name: &[u8], value: &str) -> bool {
    match value {
        // A caller without a locale still wants UTF-8.
        "C" | "POSIX" => name != b"LANG",
        "C.UTF-8" | "C.utf8" => true,
        _ => {
            let names = [value.to_owned(), with_short_codeset(value)];
            // `.` and `..` are not locales.
            let is_there = |name: &String| name.contains('_') && root.join(LOCALES).join(name).is_dir();
            has_musl(root) || names.iter().any(is_there) || archive_has(root, &names)
        }
    }
}

/// `de_DE.UTF-8@euro` is stored as `de_DE.utf8@euro`.
fn with_short_codeset(value: &str) -> String {
    let Some((language, rest)) = value.split_once('.') else { return value.to_owned() };
    let (codeset, modifier) = rest.split_once('@').map_or((rest, None), |(codeset, m)| (codeset, Some(m)));
    let short: String = codeset.chars().filter(char::is_ascii_alphanumeric).collect();
    let modifier = modifier.map(|modifier| format!("@{modifier}")).unwrap_or_default();
    format!("{language}.{}{modifier}", short.to_ascii_lowercase())
}

/// musl accepts any locale and always uses UTF-8.
fn has_musl(root: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(root.join("lib")) else { return false };
    entries.flatten().any(|entry| entry.file_name().as_bytes().starts_with(b"ld-musl-"))
}

/// Reads only the list of names in glibc's archive, not its hundreds of megabytes.
fn archive_has(root: &Path, names: &[String]) -> bool {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(root.join(LOCALES).join("locale-archive"))?;
        let mut head = [0; 28];
        file.read_exact(&mut head)?;
        let number = |at: usize| {
            head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let (magic, offset, used) = (number(0), number(20), number(24));
        if magic != ARCHIVE_MAGIC || used > ARCHIVE_NAMES_BYTES_MAX {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(offset.into()))?;
        let mut list = Vec::new();
        file.take(used.into()).read_to_end(&mut list)?;
        Ok(list)
    };
    let list = read().unwrap_or_default();
    list.split(|byte| *byte == 0).any(|found| names.iter().any(|name| name.as_bytes() == found))
}

fn language_of_file(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix("LANG="))?;
    let value = value.trim_matches(['"', '\'']);
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn has_entry(place: &Path, name: &[u8]) -> bool {
    let Some(first) = name.first() else { return false };
    if name.contains(&b'/') || name.starts_with(b".") {
        return false;
    }
    let name = std::ffi::OsStr::from_bytes(name);
    // By the letter, or by its code if the file system does not distinguish upper and lower case.
    let directories = [char::from(*first).to_string(), format!("{first:02x}")];
    directories.iter().any(|directory| place.join(directory).join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guest(tempfile::TempDir);

    impl Guest {
        fn new(files: &[(&str, &[u8])]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (path, content) in files {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            Self(root)
        }

        fn locale(
            &self,
            said: &[(&'static str, &'static str)],
            callers: &[(&'static str, &'static str)],
        ) -> String {
            text(&locale(self.0.path(), &variables(said), &variables(callers)))
        }

        fn terminal(&self, wanted: &str) -> String {
            String::from_utf8(terminal_type(self.0.path(), wanted.as_bytes())).unwrap()
        }
    }

    fn variables(pairs: &[(&'static str, &'static str)]) -> Vec<EnvironmentVariable> {
        pairs
            .iter()
            .map(|(name, value)| EnvironmentVariable { name: (*name).into(), value: (*value).into() })
            .collect()
    }

    fn text(variables: &[EnvironmentVariable]) -> String {
        let line = |v: &EnvironmentVariable| format!("{}={}", v.name.escape_ascii(), v.value.escape_ascii());
        variables.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    fn archive(names: &str) -> Vec<u8> {
        let offset = 64_u32;
        let mut bytes = [ARCHIVE_MAGIC, 0, 0, 0, 0, offset, u32::try_from(names.len()).unwrap()]
            .map(u32::to_le_bytes)
            .concat();
        bytes.resize(64, 0);
        bytes.extend_from_slice(names.as_bytes());
        bytes
    }

    #[test]
    fn without_anything_a_guest_speaks_utf8_and_an_image_that_says_more_comes_first() {
        let bare = Guest::new(&[]);
        assert_eq!(bare.locale(&[], &[]), "LANG=C.UTF-8");
        assert_eq!(bare.locale(&[("LANG", "de_DE.UTF-8")], &[("LANG", "C.UTF-8")]), "");
        assert_eq!(bare.locale(&[("LC_ALL", "C")], &[("LC_TIME", "C")]), "");
        for file in ["etc/default/locale", "etc/locale.conf"] {
            let guest = Guest::new(&[(file, b"# chosen\nLANG=\"sv_SE.UTF-8\"\n")]);
            assert_eq!(guest.locale(&[], &[("LANG", "fr_FR.UTF-8")]), "LANG=sv_SE.UTF-8");
        }
    }

    #[test]
    fn the_callers_language_comes_where_the_guest_has_it() {
        let callers = [("LANG", "de_DE.UTF-8"), ("LC_TIME", "en_GB.UTF-8"), ("LC_ALL", "C")];
        let all = "LANG=de_DE.UTF-8 LC_TIME=en_GB.UTF-8 LC_ALL=C";
        assert_eq!(Guest::new(&[]).locale(&[], &callers), "LANG=C.UTF-8 LC_ALL=C");
        let directories = Guest::new(&[
            ("usr/lib/locale/de_DE.utf8/LC_TIME", b""),
            ("usr/lib/locale/en_GB.UTF-8/LC_TIME", b""),
        ]);
        assert_eq!(directories.locale(&[], &callers), all);
        let names = archive("xx_XX.utf8\0de_DE.utf8\0en_GB.utf8\0");
        let archived = Guest::new(&[("usr/lib/locale/locale-archive", &names)]);
        assert_eq!(archived.locale(&[], &callers), all);
        assert_eq!(archived.locale(&[], &[("LANG", "X_XX.utf8")]), "LANG=C.UTF-8");
        assert_eq!(Guest::new(&[("lib/ld-musl-x86_64.so.1", b"")]).locale(&[], &callers), all);
        assert_eq!(archived.locale(&[], &[("LANG", "C")]), "LANG=C.UTF-8");
    }

    #[test]
    fn what_is_no_language_is_not_taken() {
        let guest = Guest::new(&[("lib/ld-musl-x86_64.so.1", b"")]);
        let callers = [("LANG", "../../etc"), ("LC_ALL", ""), ("PATH", "C.UTF-8"), ("LC_TIME", "a b")];
        assert_eq!(guest.locale(&[], &callers), "LANG=C.UTF-8");
        for broken in [&b""[..], b"\x09\x01\x02\xde", &[0xff; 64]] {
            let guest = Guest::new(&[("usr/lib/locale/locale-archive", broken)]);
            assert_eq!(guest.locale(&[], &[("LANG", "de_DE.UTF-8")]), "LANG=C.UTF-8");
        }
    }

    #[test]
    fn a_terminal_without_an_entry_becomes_the_nearest_that_has_one() {
        let debian = Guest::new(&[
            ("lib/terminfo/x/xterm-256color", b""),
            ("lib/terminfo/x/xterm", b""),
            ("lib/terminfo/s/screen-256color", b""),
            ("usr/share/terminfo/66/foot", b""),
        ]);
        for (wanted, found) in [
            ("xterm-256color", "xterm-256color"),
            ("xterm-kitty", "xterm-256color"),
            ("alacritty", "xterm-256color"),
            ("tmux-256color", "screen-256color"),
            ("foot", "foot"),
            ("../x/xterm", "xterm-256color"),
            ("", "xterm-256color"),
        ] {
            assert_eq!(debian.terminal(wanted), found, "{wanted}");
        }
        for (entry, found) in [
            ("etc/terminfo/x/xterm", "xterm"),
            ("usr/share/terminfo/l/linux", "linux"),
            ("usr/lib/terminfo/v/vt100", "vt100"),
            ("usr/share/terminfo/d/dumb", "dumb"),
        ] {
            assert_eq!(Guest::new(&[(entry, b"")]).terminal("xterm-ghostty"), found);
        }
        let bare = Guest::new(&[]);
        assert_eq!(["foot", "vt100", "dumb"].map(|t| bare.terminal(t)), ["xterm-256color", "vt100", "dumb"]);
    }

    #[test]
    fn a_start_is_settled_under_what_image_and_caller_say() {
        let guest = Guest::new(&[("lib/terminfo/x/xterm", b"")]);
        let start = |environment: &[(&'static str, &'static str)], may_fall_back| ExecStart {
            environment: variables(environment),
            terminal: Some(banger_agent_proto::WindowSize::default()),
            terminal_may_fall_back: may_fall_back,
            ..ExecStart::default()
        };
        let settle = |start| text(&settled(start, guest.0.path()).environment);
        assert_eq!(settle(start(&[], false)), "LANG=C.UTF-8 TERM=xterm");
        assert_eq!(settle(start(&[("TERM", "foot"), ("A", "b")], true)), "LANG=C.UTF-8 TERM=xterm A=b");
        assert_eq!(settle(start(&[("TERM", "foot"), ("LANG", "x")], false)), "TERM=foot LANG=x");
        let without = ExecStart::default();
        assert_eq!(settle(without), "LANG=C.UTF-8");
    }
}
