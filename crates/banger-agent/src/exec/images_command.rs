//! The image's own command, which would be the first process of a container: s6-overlay and other supervisors require that,
//! and it also suits a program that handles its signals and orphans accordingly.
//!
//! Two kinds of commands are exceptions. An init that has booted the guest runs already: it is not started a second time,
//! and the caller gets a shell. A bare shell is a session, whose background processes outlive it in a machine; if it were
//! the first process, they would end with it.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{account::below, plan};

const SHELLS: [&[u8]; 9] = [b"sh", b"ash", b"bash", b"dash", b"fish", b"ksh", b"mksh", b"tcsh", b"zsh"];
const SHELL_OPTIONS: [&[u8]; 4] = [b"-l", b"-i", b"-il", b"--login"];

/// Programs with many names, which do what their name says.
const OF_MANY_NAMES: [&str; 2] = ["busybox", "toybox"];

/// The role of the image's command in its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImagesCommand {
    /// The first process of a PID namespace.
    FirstProcess,
    /// A shell for an interactive user.
    Shell,
    /// The guest's init.
    Init,
}

impl ImagesCommand {
    /// Determines the role from the command's words and the program of the guest's init.
    pub(super) fn of(words: &[impl AsRef<[u8]>], root: &Path, init: Option<&Path>) -> Self {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        if init.is_some_and(|init| is_init(&without_shell(&words), root, init)) {
            return Self::Init;
        }
        match words.split_first() {
            Some((program, options))
                if SHELLS.contains(&name(program)) && options.iter().all(|o| SHELL_OPTIONS.contains(o)) =>
            {
                Self::Shell
            }
            Some(_) | None => Self::FirstProcess,
        }
    }
}

/// `CMD exec /sbin/init` reaches us as the words `/bin/sh -c "exec /sbin/init"`.
fn without_shell<'a>(words: &[&'a [u8]]) -> Vec<&'a [u8]> {
    match words {
        [shell, b"-c", script] if SHELLS.contains(&name(shell)) => {
            let words = script.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.skip_while(|word| *word == b"exec").collect()
        }
        words => words.to_vec(),
    }
}

fn is_init(words: &[&[u8]], root: &Path, init: &Path) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let mut candidates =
        plan::candidates(program, plan::PATH_DEFAULT).into_iter().map(|path| below(root, &path));
    let Some(found) = candidates.find_map(|path| fs::canonicalize(path).ok()) else { return false };
    if found != canonical(init) {
        return false;
    }
    let is_of_many_names =
        found.file_name().is_some_and(|name| OF_MANY_NAMES.iter().any(|many| name == *many));
    let called = match (name(program), arguments) {
        (own, [applet, ..]) if is_of_many_names && found.file_name().map(OsStrExt::as_bytes) == Some(own) => {
            applet
        }
        (called, _) => called,
    };
    !is_of_many_names || [&b"init"[..], b"linuxrc"].contains(&called)
}

fn canonical(init: &Path) -> PathBuf {
    fs::canonicalize(init).unwrap_or_else(|_| init.to_owned())
}

fn name(program: &[u8]) -> &[u8] {
    program.rsplit(|byte| *byte == b'/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(programs: &[&str], links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let place = |path: &str| {
            let place = root.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            place
        };
        for program in programs {
            fs::write(place(program), "").unwrap();
        }
        for (link, target) in links {
            symlink(target, place(link)).unwrap();
        }
        root
    }

    fn command(words: &[&str], root: &tempfile::TempDir, init: &str) -> ImagesCommand {
        ImagesCommand::of(words, root.path(), Some(&root.path().join(init)))
    }

    #[test]
    fn systemd_is_not_started_twice_whatever_it_is_called() {
        let root = root(
            &["usr/lib/systemd/systemd", "usr/bin/app", "usr/bin/sh"],
            &[
                ("lib", "usr/lib"),
                ("usr/sbin/init", "../lib/systemd/systemd"),
                ("sbin", "usr/sbin"),
                ("bin", "usr/bin"),
            ],
        );
        for words in [
            &["/sbin/init"][..],
            &["/usr/sbin/init", "--log-target=console"],
            &["/lib/systemd/systemd", "--system"],
            &["/usr/lib/systemd/systemd"],
            &["init"],
            &["/bin/sh", "-c", "exec /sbin/init --show-status"],
            &["/bin/sh", "-c", "/usr/lib/systemd/systemd"],
        ] {
            assert_eq!(command(words, &root, "usr/lib/systemd/systemd"), ImagesCommand::Init, "{words:?}");
        }
        for words in
            [&["/usr/bin/app"][..], &["/missing"], &["/bin/sh", "-c", "app"], &["tini", "--", "/bin/sh"]]
        {
            let found = command(words, &root, "usr/lib/systemd/systemd");
            assert_eq!(found, ImagesCommand::FirstProcess, "{words:?}");
        }
        assert_eq!(ImagesCommand::of(&["/sbin/init"], root.path(), None), ImagesCommand::FirstProcess);
    }

    #[test]
    fn busybox_is_the_init_under_that_name_only() {
        let root = root(
            &["bin/busybox"],
            &[("sbin/init", "../bin/busybox"), ("bin/sh", "busybox"), ("bin/sleep", "busybox")],
        );
        for (words, expected) in [
            (&["/sbin/init"][..], ImagesCommand::Init),
            (&["/bin/busybox", "init"], ImagesCommand::Init),
            (&["/bin/sh"], ImagesCommand::Shell),
            (&["/bin/sleep", "init"], ImagesCommand::FirstProcess),
            (&["/bin/busybox", "sleep", "1"], ImagesCommand::FirstProcess),
        ] {
            assert_eq!(command(words, &root, "bin/busybox"), expected, "{words:?}");
        }
    }

    #[test]
    fn a_bare_shell_is_a_session_and_a_script_is_not() {
        let of = |words: &[&str]| ImagesCommand::of(words, Path::new("/nowhere"), None);
        for words in [&["bash"][..], &["/bin/sh", "-l"], &["/usr/bin/zsh", "--login"]] {
            assert_eq!(of(words), ImagesCommand::Shell, "{words:?}");
        }
        for words in [&["sh", "-c", "x"][..], &["/bin/sh", "/entry"], &["/entry", "sh"], &["python3"]] {
            assert_eq!(of(words), ImagesCommand::FirstProcess, "{words:?}");
        }
    }
}
