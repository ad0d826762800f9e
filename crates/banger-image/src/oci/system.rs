//! What a container image becomes to be the root of a machine: the directories that a boot needs, an sshd that lets in
//! keys only, and the answer to who is its init. Nothing is installed; an image without an init has the agent.

use std::borrow::Cow;

use banger_ext4::{EntryBody, EntryKind, Ext4Reader, Ext4Writer, FormatError, Found, Metadata};

use super::documents::ProcessDocument;
use crate::image::{ImageProcess, SSHD_DROP_IN, SSHD_DROP_IN_PATH};

/// The word by which the guest's agent is told to be the init, whatever the image has.
pub const NO_INIT: &str = "none";
/// Directories that the agent mounts something at, or writes to.
const DIRECTORIES: [(&str, u32); 8] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
];
/// More volumes than any image has.
const VOLUMES_MAX: usize = 128;
/// Programs that boot a whole system. A container image may have an `/sbin/init` that has nothing to start: that of
/// busybox fills the console with complaints.
const SYSTEMD: [&str; 2] = ["lib/systemd/systemd", "usr/lib/systemd/systemd"];
const OTHER_INITS: [&str; 4] = ["sbin/openrc", "usr/bin/openrc", "sbin/runit-init", "usr/bin/runit-init"];
/// Where inits are. One that the image names as its command is asked for, even if it is busybox's.
const INITS: [&str; 7] = [
    "/sbin/init",
    "/usr/sbin/init",
    "/bin/init",
    "/usr/bin/init",
    "/sbin/openrc-init",
    "/sbin/runit-init",
    "/sbin/dinit",
];
const SSHD: [&str; 3] = ["usr/sbin/sshd", "usr/bin/sshd", "usr/local/sbin/sshd"];
const MACHINE_ID: &str = "etc/machine-id";

/// Adds what is missing, over all layers. Returns the image's init, as its manifest has it.
pub(crate) fn complete(
    writer: &mut Ext4Writer,
    volumes: &[String],
    now: i64,
) -> Result<Option<String>, FormatError> {
    writer.begin_layer();
    let metadata = |mode| Metadata { mode, mtime: now, ..Metadata::default() };
    for (path, mode) in DIRECTORIES {
        if writer.look_up(path.as_bytes())?.is_none() {
            writer.add(path.as_bytes(), &metadata(mode), EntryKind::Directory)?;
        }
    }
    for volume in volumes.iter().take(VOLUMES_MAX).filter(|volume| volume.starts_with('/')) {
        // A path that makes no sense in this image leads to nothing, as in `has_any`.
        let Ok(path) = writer.resolve(volume.as_bytes()).map(Cow::into_owned) else { continue };
        if matches!(writer.look_up(&path), Ok(None))
            && let Err(error) = writer.add(&path, &metadata(0o755), EntryKind::Directory)
        {
            tracing::debug!(%volume, %error, "the image has no directory for a volume");
        }
    }
    let has_systemd = has_any(writer, &SYSTEMD)?;
    if has_systemd {
        // Empty: the agent fills it in. A missing one would mean a first boot, where systemd enables every unit.
        put(writer, MACHINE_ID, b"", &metadata(0o444))?;
    }
    if has_any(writer, &SSHD)? {
        put(writer, SSHD_DROP_IN_PATH, SSHD_DROP_IN.as_bytes(), &metadata(0o644))?;
    }
    let has_init = has_systemd || has_any(writer, &OTHER_INITS)?;
    Ok(if has_init { None } else { Some(NO_INIT.to_owned()) })
}

/// Returns the init of an image that may name one as its command: the guest boots it, and whoever asks for it gets a shell.
pub(crate) fn init_of(process: &ImageProcess, root: &Ext4Reader, found: Option<String>) -> Option<String> {
    let is_wanted = |program: &&String| {
        let place = root.resolve(program.as_bytes()).ok().flatten();
        let entry = place.and_then(|place| root.entry(&place).ok().flatten());
        INITS.contains(&program.as_str())
            && entry.is_some_and(|entry| matches!(entry.body, EntryBody::File { .. }))
    };
    match (found.as_deref(), process.command.first().filter(is_wanted)) {
        (Some(NO_INIT), Some(program)) => Some(program.clone()),
        (_, _) => found,
    }
}

fn has_any(writer: &Ext4Writer, paths: &[&str]) -> Result<bool, FormatError> {
    for path in paths {
        // A path that makes no sense in this image leads to nothing.
        let Ok(path) = writer.resolve(path.as_bytes()) else { continue };
        if matches!(writer.look_up(&path)?, Some(Found::File { .. } | Found::Symlink(_))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a file, whatever is in its place.
fn put(writer: &mut Ext4Writer, path: &str, content: &[u8], metadata: &Metadata) -> Result<(), FormatError> {
    let path = writer.resolve(path.as_bytes())?.into_owned();
    writer.remove(&path)?;
    let kind = EntryKind::File { size: content.len() as u64, content: &mut &*content };
    writer.add(&path, metadata, kind)
}

/// Returns what the image's config says about its processes.
pub(crate) fn process_of(document: ProcessDocument) -> ImageProcess {
    let ProcessDocument { user, env, entrypoint, cmd, working_dir, volumes: _ } = document;
    ImageProcess {
        command: entrypoint.into_iter().chain(cmd).collect(),
        // A variable without a name or a value is none.
        environment: env
            .into_iter()
            .filter(|variable| variable.find('=').is_some_and(|end| end > 0))
            .collect(),
        user,
        working_directory: working_dir,
    }
}

#[cfg(test)]
mod tests {
    use banger_ext4::FormatOptions;

    use super::*;
    use crate::image::{distro_of, format_options};
    use crate::oci::flatten::add_layer;
    use crate::oci::left_out::LeftOut;
    use crate::oci::test_layers::{Tar, layer};
    use banger_sys::blocking::Cancelled;

    #[test]
    fn volumes_are_directories_that_are_made_where_they_are_missing() {
        let tar = Tar::new().directory("data", 0o700).file("file", "").symlink("link", "/data");
        let volumes = ["/data", "/var/lib/app/", "/link/sub", "/file/x", "/file", "relative", "/"];
        let (_, directory) = completed_with(tar, &volumes.map(str::to_owned));
        let root = Ext4Reader::open(&directory.path().join("rootfs.ext4")).unwrap();
        let mode =
            |path: &str| root.entry(path.as_bytes()).unwrap().map(|entry| entry.metadata.mode & 0o7777);
        assert_eq!(mode("data"), Some(0o700), "what is there stays as it is");
        assert_eq!([mode("var/lib/app"), mode("data/sub")], [Some(0o755); 2]);
        assert_eq!([mode("file/x"), mode("relative")], [None, None]);
    }

    fn completed(tar: Tar) -> (Option<String>, tempfile::TempDir) {
        completed_with(tar, &[])
    }

    fn completed_with(tar: Tar, volumes: &[String]) -> (Option<String>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rootfs.ext4");
        let options: FormatOptions = format_options("root", 1 << 30, banger_ext4::Journal::None);
        let mut writer = Ext4Writer::create(&path, options).unwrap();
        add_layer(
            &mut writer,
            layer(&tar.bytes()),
            &crate::limits::Allowance::endless(),
            &mut LeftOut::default(),
            &Cancelled::default(),
        )
        .unwrap();
        let init = complete(&mut writer, volumes, 0).unwrap();
        writer.finish_shrunk(0).unwrap();
        (init, directory)
    }

    fn text(directory: &tempfile::TempDir, path: &str) -> Option<String> {
        let root = Ext4Reader::open(&directory.path().join("rootfs.ext4")).unwrap();
        root.read(path.as_bytes(), 4096).unwrap().map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn an_image_of_one_program_gets_directories_and_the_agent_as_init() {
        let (init, directory) = completed(Tar::new().file("app", "x"));
        assert_eq!(init.as_deref(), Some("none"));
        let root = Ext4Reader::open(&directory.path().join("rootfs.ext4")).unwrap();
        for (path, mode) in DIRECTORIES {
            assert_eq!(root.entry(path.as_bytes()).unwrap().unwrap().metadata.mode & 0o7777, mode, "{path}");
        }
        assert_eq!(text(&directory, SSHD_DROP_IN_PATH), None);
        assert_eq!(text(&directory, MACHINE_ID), None);
    }

    #[test]
    fn busybox_is_no_init_and_systemd_is_one() {
        let busybox = Tar::new().file("bin/busybox", "x").symlink("sbin/init", "/bin/busybox");
        assert_eq!(completed(busybox).0.as_deref(), Some("none"));
        let merged = Tar::new()
            .symlink("lib", "usr/lib")
            .file("usr/lib/systemd/systemd", "x")
            .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        let (init, directory) = completed(merged);
        assert_eq!(init, None, "the guest finds it");
        assert_eq!(text(&directory, MACHINE_ID).as_deref(), Some(""));
        assert_eq!(completed(Tar::new().file("sbin/openrc", "x")).0, None);
    }

    #[test]
    fn an_init_that_is_the_images_command_boots_its_guest() {
        let busybox = Tar::new().file("bin/busybox", "x").symlink("sbin/init", "/bin/busybox");
        let (found, directory) = completed(busybox);
        let root = Ext4Reader::open(&directory.path().join("rootfs.ext4")).unwrap();
        let init = |command: &[&str], found: Option<&str>| {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            let process = ImageProcess { command, ..ImageProcess::default() };
            init_of(&process, &root, found.map(str::to_owned))
        };
        let found = found.as_deref();
        assert_eq!(init(&["/sbin/init"], found).as_deref(), Some("/sbin/init"));
        for other in [&["/usr/sbin/init"][..], &["/bin/busybox"], &["/bin/sh", "-c", "/sbin/init"], &[]] {
            assert_eq!(init(other, found).as_deref(), Some("none"), "{other:?}");
        }
        assert_eq!(init(&["/sbin/init"], None), None, "the guest finds it");
    }

    #[test]
    fn an_sshd_gets_the_drop_in_also_over_something_odd() {
        for odd in [
            Tar::new(),
            Tar::new().symlink("etc/ssh/sshd_config.d/99-banger.conf", "/etc/passwd"),
            Tar::new().file("etc/ssh/sshd_config.d/99-banger.conf/x", ""),
        ] {
            let (_, directory) = completed(odd.file("usr/sbin/sshd", "x").directory("root", 0o755));
            assert_eq!(text(&directory, SSHD_DROP_IN_PATH).as_deref(), Some(SSHD_DROP_IN));
        }
    }

    #[test]
    fn a_distribution_is_what_it_calls_itself() {
        let distro = |tar: Tar| {
            let (_, directory) = completed(tar);
            distro_of(&Ext4Reader::open(&directory.path().join("rootfs.ext4")).unwrap())
        };
        assert_eq!(distro(Tar::new().file("etc/os-release", "NAME=x\nID=\"alpine\"\n")), "alpine");
        let linked = Tar::new()
            .file("usr/lib/os-release", "ID=debian\n")
            .symlink("etc/os-release", "../usr/lib/os-release");
        assert_eq!(distro(linked), "debian");
        assert_eq!(distro(Tar::new().file("etc/os-release", "ID=\u{1b}[2J\n")), "");
        assert_eq!(distro(Tar::new().file("x", "")), "");
    }

    #[test]
    fn the_entry_point_gets_the_command_as_arguments() {
        let document: ProcessDocument = serde_json::from_str(
            r#"{"Entrypoint": ["/e", "-x"], "Cmd": ["a b"], "Env": ["A=1", "B", "=c", "C="], "User": "1:2"}"#,
        )
        .unwrap();
        let process = process_of(document);
        assert_eq!(process.command, ["/e", "-x", "a b"]);
        assert_eq!(process.environment, ["A=1", "C="]);
        assert_eq!((process.user.as_str(), process.working_directory.as_str()), ("1:2", ""));
    }
}
