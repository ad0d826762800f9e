//! `vm cp`, with the real agent in guests whose roots are directories here.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use banger_api::{EndingView, ErrorCode};
use banger_tree::{EntryName, Item, Metadata, to_wire};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::daemon::{DEADLINE, error, vm};
use crate::program::{Stage, Told, run, send, told};

/// Two guests, `dev` and `test`, and a directory of the user's.
struct Place {
    stage: Stage,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let stage = Stage::new();
        let directory = tempfile::tempdir().unwrap();
        for name in ["dev", "test", "here"] {
            fs::create_dir_all(directory.path().join(name).join("root")).unwrap();
        }
        stage.daemon.script(|script| {
            script.vms = vec![vm("dev", 1), vm("test", 2)];
            for name in ["dev", "test"] {
                script.real_guests.insert(name.into(), directory.path().join(name));
            }
        });
        Self { stage, directory }
    }

    fn here(&self, path: &str) -> PathBuf {
        self.directory.path().join("here").join(path)
    }

    /// A path below the home of a guest's root.
    fn guest(&self, vm: &str, path: &str) -> PathBuf {
        self.directory.path().join(vm).join("root").join(path)
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = self.stage.banger(&[&["vm", "cp"], arguments].concat());
        command.current_dir(self.here(""));
        command
    }

    async fn cp(&self, arguments: &[&str]) -> Told {
        run(self.command(arguments)).await
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_tree_goes_in_and_comes_out_as_it_was() {
    let place = Place::new();
    write(&place.here("site/a b/index\n.html"), "<p>");
    write(&place.here("site/run"), "#!/bin/sh");
    fs::set_permissions(place.here("site/run"), Permissions::from_mode(0o750)).unwrap();
    symlink("run", place.here("site/link")).unwrap();
    let told = place.cp(&["site", "dev:"]).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), ""), "{}", told.stderr);
    assert!(told.stderr.starts_with("copied 3 files, 12 B in "), "{}", told.stderr);
    let told = place.cp(&["-q", "dev:site", "back"]).await;
    assert_eq!(told, Told { status: Some(0), stdout: String::new(), stderr: String::new() });
    assert_eq!(text(&place.here("back/a b/index\n.html")), "<p>");
    assert_eq!(fs::metadata(place.here("back/run")).unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(fs::read_link(place.here("back/link")).unwrap(), Path::new("run"));
}

#[tokio::test]
async fn destinations_mean_what_they_mean_to_cp() {
    let place = Place::new();
    write(&place.here("one"), "1");
    write(&place.here("two"), "2");
    write(&place.here("dir/three"), "3");
    for arguments in [
        &["one", "dev:renamed"][..],
        &["one", "two", "dir", "dev:~/"],
        &["-r", "dir/.", "dev:contents"],
        &["dev:renamed", "dev:dir/three", "."],
        &["dev:contents/.", "test:"],
        &["test:three", "./with:colon"],
    ] {
        let told = place.cp(arguments).await;
        assert_eq!(told.status, Some(0), "{arguments:?}: {}", told.stderr);
    }
    assert_eq!(names(&place.guest("dev", "")), ["contents", "dir", "one", "renamed", "two"]);
    assert_eq!(names(&place.guest("dev", "contents")), ["three"]);
    assert_eq!(names(&place.guest("test", "")), ["three"]);
    assert_eq!(names(&place.here("")), ["dir", "one", "renamed", "root", "three", "two", "with:colon"]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let place = Place::new();
    for (arguments, status, sentence) in [
        (&["a", "b"][..], 2, "neither the source nor the destination is in a VM"),
        (&["dev:a"], 2, "missing `DESTINATION`"),
        (&["a", "dev:b", "test:"], 2, "sources on the host and in VMs cannot be mixed"),
        (&["Box:a", "."], 2, "`Box:a` looks like a path in a VM"),
        (&["nothing", "dev:"], 1, "there is no `nothing`"),
        (&["dev:a", "no/such/place"], 1, "there is no directory `no/such`"),
        (&["dev:a", "dev2:b", "file"], 1, "there is no directory `file`"),
    ] {
        let told = place.cp(arguments).await;
        assert_eq!(told.status, Some(status), "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.starts_with(&format!("banger: {sentence}")), "{arguments:?}: {}", told.stderr);
    }
    assert_eq!(place.stage.daemon.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn refusals_of_the_daemon_and_of_the_guest_are_told_with_the_vm() {
    let place = Place::new();
    write(&place.here("file"), "x");
    write(&place.guest("dev", "dir/file/x"), "x");
    let told = place.cp(&["file", "nope:"]).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(1), "banger: there is no such VM\n"));
    let told = place.cp(&["dev:missing", "."]).await;
    let missing = place.guest("dev", "missing");
    assert_eq!(told.stderr, format!("banger: dev: there is no `{}`\n", missing.display()));
    let told = place.cp(&["file", "dev:dir"]).await;
    let occupied = place.guest("dev", "dir/file");
    let expected = format!("banger: dev: `{}` already exists and is a directory\n", occupied.display());
    assert_eq!(told.stderr, expected);
    let told = place.cp(&["dev:dir", "dev:other"]).await;
    insta::assert_snapshot!(told.stderr, @r"
    banger: source and destination are both in VM `dev`
    hint: banger vm exec dev -- cp -a <source> <destination>
    ");
    place.stage.daemon.script(|script| {
        let refusal = error(ErrorCode::NotRunning, "VM `dev` is not running");
        script.errors.insert("GET /v1/vms/0000000000000001/channel".into(), refusal);
    });
    let told = place.cp(&["file", "dev:"]).await;
    assert_eq!(told.stderr, "banger: VM `dev` is not running\n");
}

#[tokio::test]
async fn an_agent_that_is_older_is_told_with_what_to_do() {
    let place = Place::new();
    write(&place.here("file"), "x");
    place.stage.daemon.script(|script| script.real_guests.clear());
    for arguments in [["file", "dev:"], ["dev:file", "new"]] {
        let told = place.cp(&arguments).await;
        assert_eq!(told.status, Some(1));
        assert!(told.stderr.contains("the guest's agent is older than this banger"), "{}", told.stderr);
        assert!(told.stderr.contains("hint: restart the VM to update its agent"), "{}", told.stderr);
    }
    assert!(!place.here("new").exists());
}

#[tokio::test]
async fn what_is_left_out_is_told_and_a_failure_is_one() {
    let place = Place::new();
    write(&place.guest("dev", "dir/file"), "x");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        place.guest("dev", "dir/pi\u{1b}pe"),
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .unwrap();
    let told = place.cp(&["dev:dir", "."]).await;
    assert_eq!(told.status, Some(0), "a pipe cannot be copied, and that is no failure");
    let path = place.guest("dev", "dir/pi");
    let line = format!("skipped `{}\\x1bpe`: is a named pipe\n", path.display());
    assert!(told.stderr.starts_with(&line), "{}", told.stderr);
    assert_eq!(names(&place.here("dir")), ["file"]);
}

#[tokio::test]
async fn a_tar_goes_in_and_comes_out() {
    let place = Place::new();
    write(&place.guest("dev", "dir/sub/file"), "content");
    let output = place.command(&["dev:dir", "-"]).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut command = place.command(&["-", "test:"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&output.stdout).await.unwrap();
    let told = told(child).await;
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!(text(&place.guest("test", "dir/sub/file")), "content");
}

/// A file that takes long to read and takes no time to make.
fn large_file(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, 256 << 20).unwrap();
}

/// Tells whether a process has a file open there, which has no name until it is whole.
fn is_written_to(directory: &Path) -> bool {
    let descriptors = fs::read_dir("/proc").unwrap().flatten().map(|process| process.path().join("fd"));
    let mut open = descriptors.filter_map(|path| fs::read_dir(path).ok()).flat_map(Iterator::flatten);
    open.any(|entry| fs::read_link(entry.path()).is_ok_and(|file| file.parent() == Some(directory)))
}

/// Waits until a file is on its way there: nothing tells the test.
async fn begun(directory: &Path) {
    let waiting = async {
        while !is_written_to(directory) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("nothing comes");
}

/// Waits until the guest has put things right.
async fn cleared(directory: &Path) {
    let waiting = async {
        while is_written_to(directory) || !names(directory).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("something is left");
}

#[tokio::test]
async fn ctrl_c_leaves_no_part_of_a_file_on_either_side() {
    let place = Place::new();
    large_file(&place.here("big"));
    large_file(&place.guest("test", "big"));
    for (arguments, directory) in
        [(["big", "dev:"], place.guest("dev", "")), (["test:big", "root/"], place.here("root"))]
    {
        let child = place.command(&arguments).spawn().unwrap();
        begun(&directory).await;
        send(&child, Signal::INT);
        let told = told(child).await;
        assert_eq!(told.status, Some(130), "{arguments:?}: {}", told.stderr);
        assert_eq!(told.stderr, "banger: interrupted; no files copied\n");
        cleared(&directory).await;
    }
}

#[tokio::test]
async fn a_daemon_that_dies_leaves_no_part_of_a_file_on_either_side() {
    let place = Place::new();
    large_file(&place.here("big"));
    large_file(&place.guest("test", "big"));
    for (arguments, directory) in
        [(["big", "dev:"], place.guest("dev", "")), (["test:big", "root/"], place.here("root"))]
    {
        let child = place.command(&arguments).spawn().unwrap();
        begun(&directory).await;
        place.stage.daemon.cut_channels();
        let told = told(child).await;
        assert_eq!(told.status, Some(1), "{arguments:?}: {}", told.stderr);
        let why = "was lost because its agent or the daemon restarted; the copy is incomplete\n\
                   hint: the VM is still running; run the copy again\n";
        assert!(told.stderr.ends_with(why), "{}", told.stderr);
        cleared(&directory).await;
    }
}

#[tokio::test]
async fn a_copy_beside_the_end_of_a_guest_says_how_that_ended() {
    let place = Place::new();
    large_file(&place.here("big"));
    large_file(&place.guest("test", "big"));
    place.stage.daemon.script(|script| {
        for vm in &mut script.vms {
            vm.boot_id = Some(format!("boot-{}", vm.name));
        }
        let ending = EndingView { why: "the VM was deleted".to_owned(), starts_again: false };
        script.endings.insert("boot-dev".to_owned(), ending);
    });
    for (arguments, directory) in
        [(["big", "dev:"], place.guest("dev", "")), (["test:big", "dev:"], place.guest("dev", ""))]
    {
        let child = place.command(&arguments).spawn().unwrap();
        begun(&directory).await;
        place.stage.daemon.cut_channels();
        let told = told(child).await;
        let why = "banger: the copy is incomplete because the guest of VM `dev` ended: the VM was deleted\n";
        assert_eq!(
            (told.status, told.stderr.as_str()),
            (Some(1), format!("{why}hint: banger vm show dev\n").as_str())
        );
        cleared(&directory).await;
    }
}

#[tokio::test]
async fn a_device_of_the_guest_stays_what_it_is() {
    let place = Place::new();
    write(&place.here("file"), "x");
    let told = place.cp(&["file", "dev:/dev/full"]).await;
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stderr, "banger: dev: `/dev/full` is a device, which is not replaced\n");
}

fn entry(name: &str) -> (EntryName, Metadata) {
    (EntryName::new(name.as_bytes()).unwrap(), Metadata { mode: 0o6755, ..Metadata::default() })
}

fn lie(name: &str) -> Vec<Item> {
    let (name, metadata) = entry(name);
    vec![
        Item::File { name, metadata, size: 1 },
        Item::Data { offset: 0, content: "k".into() },
        Item::FileEnd { size: 1 },
    ]
}

fn directory(name: &str, content: Vec<Item>) -> Vec<Item> {
    let (name, metadata) = entry(name);
    let enter = Item::Enter { name: Some(name), metadata: Some(metadata) };
    [vec![enter], content, vec![Item::Leave]].concat()
}

/// What a guest that lies sends for `x`.
fn lies() -> Vec<(&'static str, Vec<Item>)> {
    let link = |name: &str| {
        let (name, metadata) = entry(name);
        vec![Item::Link { name, metadata, target: b"/".to_vec() }]
    };
    let contents = vec![Item::Enter { name: None, metadata: Some(entry("x").1) }];
    vec![
        ("another name", [lie("a"), lie("authorized_keys"), directory(".ssh", lie("k"))].concat()),
        ("another directory", directory(".ssh", lie("k"))),
        ("another link", link(".bashrc")),
        ("contents", [contents, lie("authorized_keys"), vec![Item::Leave]].concat()),
        ("nothing", Vec::new()),
        ("two", [lie("x"), lie("authorized_keys")].concat()),
        ("twice", [lie("x"), lie("x")].concat()),
        ("through a link", [link("x"), directory("x", lie("k"))].concat()),
        ("after the end", [lie("x"), vec![Item::End], lie("authorized_keys")].concat()),
    ]
}

#[tokio::test]
async fn a_guest_that_lies_chooses_no_name_here_and_none_in_another_vm() {
    let place = Place::new();
    place.stage.daemon.script(|script| drop(script.real_guests.remove("dev")));
    for (what, items) in lies() {
        let items: Vec<_> = items.into_iter().chain([Item::End]).map(to_wire).collect();
        place.stage.daemon.script(|script| script.character.tree = Some(Ok(items)));
        for source in ["dev:/var/log/x", "dev:x"] {
            for destination in [".", "root/", "new", "test:", "test:new"] {
                let told = place.cp(&[source, destination]).await;
                assert_eq!(told.status, Some(1), "{what} {source} {destination}: {}", told.stderr);
                assert!(
                    told.stderr.starts_with(&format!(
                        "banger: cannot copy `{source}`: the guest did not send what was asked for: "
                    )),
                    "{what}: {}",
                    told.stderr
                );
            }
        }
        // A message with a lie in it is refused whole.
        assert_eq!(names(&place.here("")), ["root"], "{what}");
        assert_eq!(names(&place.here("root")), [""; 0], "{what}");
        assert_eq!(names(&place.guest("test", "")), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn a_guest_that_lies_puts_nothing_into_a_tar_but_what_was_asked_for() {
    let place = Place::new();
    place.stage.daemon.script(|script| script.real_guests.clear());
    for (what, items) in lies() {
        let items: Vec<_> = items.into_iter().chain([Item::End]).map(to_wire).collect();
        place.stage.daemon.script(|script| script.character.tree = Some(Ok(items)));
        let output = place.command(&["dev:x", "-"]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert_eq!(output.stdout.escape_ascii().to_string(), "", "{what}");
    }
    // Honest but for a bit: nobody's rights come out.
    let items = lie("x").into_iter().chain([Item::End]).map(to_wire).collect();
    place.stage.daemon.script(|script| script.character.tree = Some(Ok(items)));
    for (arguments, mode) in [(&["dev:x", "-"][..], b"0000755"), (&["-a", "dev:x", "-"], b"0006755")] {
        let output = place.command(arguments).output().await.unwrap();
        assert!(output.status.success());
        assert_eq!(&output.stdout[100..107], mode);
    }
}

#[tokio::test]
async fn a_source_that_means_contents_or_a_directory_gets_no_other() {
    let place = Place::new();
    place.stage.daemon.script(|script| script.real_guests.clear());
    let items: Vec<_> = lie("x").into_iter().chain([Item::End]).map(to_wire).collect();
    place.stage.daemon.script(|script| script.character.tree = Some(Ok(items)));
    for source in ["dev:x/.", "dev:/", "dev:x/..", "dev:x/", "dev:", "dev:~", "dev:y"] {
        let told = place.cp(&[source, "."]).await;
        assert_eq!(told.status, Some(1), "{source}: {}", told.stderr);
        assert!(told.stderr.contains("was asked for, but the file `x` came"), "{source}: {}", told.stderr);
    }
    assert_eq!(names(&place.here("")), ["root"]);
}
