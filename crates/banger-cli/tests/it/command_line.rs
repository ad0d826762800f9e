//! What is refused before anything starts, and what needs no daemon at all.

use crate::daemon::vm;
use crate::program::{Stage, banger, run};

#[tokio::test]
async fn bad_input_is_refused_before_a_daemon_is_started() {
    let home = tempfile::tempdir().unwrap();
    for (words, sentence) in [
        (&["vm", "run", "--vcpu", "0"][..], "--vcpu: a number of processors of 0 is not possible"),
        (&["vm", "run", "--memory", "-1"], "--memory: memory of -1M is not possible"),
        (&["vm", "create", "--disk-size", "big"], "--disk-size: `big` is not a size"),
        (&["vm", "create", "--name", "Box"], "--name: the VM name `Box` has the character `B`"),
        (&["vm", "run", "-d", "--rm"], "`-d` leaves the VM running and `--rm` deletes it"),
        (&["vm", "run", "-d", "--", "true"], "`-d` does not enter the VM"),
        (&["vm", "run", "./repo"], "workspaces do not exist yet"),
        (&["vm", "exec", "dev", "-e", "=1", "--", "true"], "`=1` is no variable"),
        (&["vm", "stop", "../dev"], "VM: the VM name `../dev`"),
        (&["vm", "stop"], "the following required arguments were not provided"),
        (&["completion", "tcsh"], "invalid value 'tcsh'"),
        (&["nope"], "unrecognized subcommand 'nope'"),
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
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "the daemon does not run\n"));
    for shell in ["bash", "zsh", "fish"] {
        let told = run(banger(home.path(), &["completion", shell])).await;
        assert!(told.status == Some(0) && told.stdout.contains("COMPLETE"), "{told:?}");
    }
    assert!(!home.path().join("run").exists());
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
