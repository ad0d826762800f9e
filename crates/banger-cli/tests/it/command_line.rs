//! What is refused before anything starts, and what needs no daemon at all.

use crate::daemon::vm;
use crate::program::{Stage, banger, run};

#[tokio::test]
async fn bad_input_is_refused_before_a_daemon_is_started() {
    let home = tempfile::tempdir().unwrap();
    for (words, sentence) in [
        (&["vm", "run", "--vcpu", "0"][..], "--vcpu must be between 1 and 32, not 0"),
        (&["vm", "run", "--memory", "-1"], "--memory must be between 128M and 1T, not -1M"),
        (&["vm", "create", "--disk-size", "big"], "--disk-size: `big` is not a valid size"),
        (&["vm", "create", "--name", "Box"], "VM name `Box`: use only a–z, 0–9 and `-`"),
        (&["vm", "run", "-d", "--rm"], "`-d` leaves the VM running and `--rm` deletes it"),
        (&["vm", "run", "./repo"], "unexpected argument `./repo`"),
        (&["vm", "exec", "dev", "-e", "=1", "--", "true"], "`=1` is not a valid variable"),
        (&["exec", "--env-file", "/nonexistent", "dev", "env"], "cannot read the environment file"),
        (&["vm", "stop", "../dev"], "VM name `../dev`"),
        (&["vm", "stop"], "missing `VM`\nhint: banger vm stop --help"),
        (&["completion", "tcsh"], "SHELL: `tcsh` is not a valid value"),
        (&["nope"], "unknown command `nope`"),
        (&["run", "-v", "a:b", "--", "true"], "unexpected argument `-v`\nhint: directories of the host"),
        (
            &["run", "-p", "80:80", "--", "true"],
            "unexpected argument `-p`\nhint: ports are not published yet",
        ),
    ] {
        let told = run(banger(home.path(), words)).await;
        assert_eq!((told.status, told.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(told.stderr.starts_with(&format!("banger: {sentence}")), "{words:?}: {}", told.stderr);
        assert!(!home.path().join("run").exists(), "{words:?}");
    }
}

#[tokio::test]
async fn some_commands_need_no_daemon() {
    let home = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for words in [&["version"][..], &["--version"]] {
        let told = run(banger(home.path(), words)).await;
        assert!(told.stdout.starts_with(&format!("banger {version}")), "{told:?}");
        assert_eq!((told.status, told.stdout.lines().count()), (Some(0), 1));
    }
    let told = run(banger(home.path(), &["daemon", "status"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "state       not running\n"));
    let told = run(banger(home.path(), &["daemon", "stop"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), ""));
    assert_eq!(told.stderr, "the daemon is not running\n");
    for shell in ["bash", "zsh", "fish"] {
        let told = run(banger(home.path(), &["completion", shell])).await;
        assert!(told.status == Some(0) && told.stdout.contains("COMPLETE"), "{told:?}");
    }
    assert!(!home.path().join("run").exists());
}

#[tokio::test]
async fn help_of_help_is_that_of_the_command_it_explains() {
    let home = tempfile::tempdir().unwrap();
    for (words, meant) in [
        (&["help", "--help"][..], &["-h"][..]),
        (&["vm", "help", "--help"], &["vm", "-h"]),
        (&["image", "help", "-h"], &["image", "-h"]),
        (&["help", "vm", "--help"], &["vm", "-h"]),
    ] {
        let (told, meant) = (run(banger(home.path(), words)).await, run(banger(home.path(), meant)).await);
        assert_eq!((told.status, told.stdout), (Some(0), meant.stdout), "{words:?}");
    }
}

async fn complete(mut command: tokio::process::Command, index: usize) -> String {
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index.to_string()).env("_CLAP_IFS", "\n");
    let told = run(command).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""));
    told.stdout
}

#[tokio::test]
async fn names_are_completed_live() {
    let stage = Stage::new();
    stage.daemon.script(|script| script.vms = vec![vm("dev", 1), vm("demo", 2), vm("prod", 3)]);
    let names = complete(stage.banger(&["--", "banger", "vm", "stop", "de"]), 3).await;
    assert_eq!(names.lines().collect::<Vec<_>>(), ["dev", "demo"]);
    let images = complete(stage.banger(&["--", "banger", "vm", "run", "--image", ""]), 4).await;
    assert_eq!(images.trim(), "debian-bookworm");
}

#[tokio::test]
async fn without_a_daemon_no_name_is_completed_and_none_is_started() {
    let home = tempfile::tempdir().unwrap();
    let names = complete(banger(home.path(), &["--", "banger", "vm", "ssh", ""]), 3).await;
    assert!(!names.contains("dev"), "{names}");
    assert!(!home.path().join("run").exists());
}

#[tokio::test]
async fn a_relative_home_is_refused() {
    let told = run(banger("relative".as_ref(), &["vm", "list"])).await;
    assert_eq!(told.stderr, "banger: `BANGER_HOME` is `relative`, which is not an absolute path\n");
}

#[tokio::test]
async fn ids_are_printed_alone_and_every_change_can_be_json() {
    let stage = Stage::new();
    stage.daemon.script(|script| script.vms = vec![vm("dev", 0xaa01), vm("test", 0xaa02)]);
    let ids = "000000000000aa01\n000000000000aa02\n";
    for words in [&["ps", "-q"][..], &["vm", "list", "-q"], &["-q", "ls"], &["stop", "-q", "dev", "test"]] {
        let told = run(stage.banger(words)).await;
        assert_eq!(
            (told.status, told.stdout.as_str(), told.stderr.as_str()),
            (Some(0), ids, ""),
            "{words:?}"
        );
    }
    for (words, id) in [
        (&["inspect", "-q", "dev"][..], "000000000000aa01\n"),
        (&["images", "-q"], "debian-bookworm\n"),
        (&["kernel", "ls", "-q"], "debian-12\n"),
        (&["set", "-q", "dev", "--ttl", "none"], "000000000000aa01\n"),
        (&["rm", "-qf", "dev", "gone"], "000000000000aa01\ngone\n"),
    ] {
        let told = run(stage.banger(words)).await;
        assert_eq!((told.status, told.stdout.as_str(), told.stderr.as_str()), (Some(0), id, ""), "{words:?}");
    }
    for words in [
        &["run", "-d", "--json", "--name", "new"][..],
        &["start", "--json", "test"],
        &["image", "rm", "--json", "debian-bookworm"],
        &["info", "--json"],
    ] {
        let told = run(stage.banger(words)).await;
        let value = serde_json::from_str::<serde_json::Value>(&told.stdout);
        assert!(told.status == Some(0) && value.is_ok(), "{words:?}: {told:?}");
    }
}
