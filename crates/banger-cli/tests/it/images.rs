//! The commands under `image` that are about what is on this host.

use std::io::Write as _;
use std::process::Stdio;

use banger_api::ErrorCode;
use banger_model::{ArtifactKind, Hint};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon::error;
use crate::program::{Stage, Told, run, send, told};

#[tokio::test]
async fn a_registration_sends_absolute_paths() {
    let stage = Stage::new();
    let words = ["image", "register", "-q", "--json", "--name", "mine", "--rootfs", "root.ext4"];
    let by_name = run(stage.banger(&[&words[..], &["--kernel-ref", "debian-12"]].concat())).await;
    let absolute = |path| std::path::absolute(path).unwrap();
    let asked = |told: &str| serde_json::from_str::<Value>(told).unwrap()["asked"].take();
    assert_eq!(
        asked(&by_name.stdout),
        json!({ "name": "mine", "rootfs": absolute("root.ext4"), "kernel_ref": "debian-12", "force": false })
    );
    let files = [
        "--kernel",
        "vmlinux",
        "--initrd",
        "initrd",
        "--modules",
        "modules",
        "--work-seed",
        "seed",
        "--force",
    ];
    let by_files = run(stage.banger(&[&words[..], &files].concat())).await;
    assert_eq!(
        asked(&by_files.stdout),
        json!({ "name": "mine", "rootfs": absolute("root.ext4"), "work_seed": absolute("seed"),
                "kernel": absolute("vmlinux"), "initrd": absolute("initrd"), "modules": absolute("modules"),
                "force": true })
    );
}

#[tokio::test]
async fn a_registration_that_makes_no_sense_reaches_no_daemon() {
    let stage = Stage::new();
    let root = ["--name", "mine", "--rootfs", "x"];
    for (words, told) in [
        (&[&root[..], &["--kernel-ref", "k", "--kernel", "x"]].concat(), "cannot be used together"),
        (&[&root[..], &["--kernel-ref", "k", "--modules", "x"]].concat(), "cannot be used together"),
        (&[&root[..], &["--modules", "x"]].concat(), "--kernel"),
        (&root.to_vec(), "--kernel-ref"),
        (&vec!["--name", "../x", "--rootfs", "x", "--kernel-ref", "k"], "image name"),
    ] {
        let answer = run(stage.banger(&[&["image", "register"][..], words].concat())).await;
        assert_eq!(answer.status, Some(2), "{words:?}");
        assert!(answer.stderr.contains(told), "{words:?}: {}", answer.stderr);
    }
    assert!(stage.daemon.requests().iter().all(|request| !request.contains("images")));
}

#[tokio::test]
async fn several_images_are_deleted_and_one_that_is_used_is_told() {
    let stage = Stage::new();
    stage.daemon.script(|script| {
        let mut used = error(ErrorCode::Conflict, "the image `used` is used by VM `dev`");
        used.hint = Some(Hint::Show { kind: ArtifactKind::Image, name: "mine".to_owned() });
        script.errors.insert("POST /v1/images/used/delete".into(), used);
    });
    let told = run(stage.banger(&["image", "delete", "-q", "old", "used", "older"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(1), "old\nolder\n"));
    insta::assert_snapshot!(told.stderr, @r"
    banger: used: the image `used` is used by VM `dev`
    hint: banger image show mine
    ");
}

/// Runs the program with these bytes on a pipe as its stdin.
async fn fed(stage: &Stage, words: &[&str], bytes: &[u8]) -> Told {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = stage.banger(words);
    let child = command.stdin(reader).spawn().unwrap();
    drop(command);
    writer.write_all(bytes).unwrap();
    drop(writer);
    told(child).await
}

#[tokio::test]
async fn an_archive_on_stdin_is_sent_as_the_path_of_a_file() {
    let stage = Stage::new();
    let words = ["image", "pull", "-q", "--json", "oci-archive:-:v1"];
    let piped = fed(&stage, &words, b"\x1f\x8b").await;
    let mut command = stage.banger(&words);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "an archive").unwrap();
    command.stdin(Stdio::from(file.reopen().unwrap()));
    for (kind, told) in [("pipe", piped), ("file", run(command).await)] {
        let asked = serde_json::from_str::<Value>(&told.stdout).unwrap()["asked"].take();
        assert_eq!(asked["source"], "oci-archive:-:v1");
        let input = asked["input"].as_str().unwrap();
        assert!(input.starts_with("/proc/"), "{input}");
        assert_eq!(input.ends_with("/fd/0"), kind == "file", "{kind}: {input}");
    }
}

#[tokio::test]
async fn stdin_that_brings_no_archive_is_told_in_a_sentence() {
    let stage = Stage::new();
    let empty = fed(&stage, &["image", "pull", "-q", "docker-archive:-"], b"").await;
    assert_eq!(empty.status, Some(1));
    insta::assert_snapshot!(empty.stderr, @r"
    banger: standard input is empty, and an archive is expected
    hint: the command before the pipe has probably failed; see what it said
    ");
    stage.daemon.script(|script| script.info.disk_floor_bytes = Some(u64::MAX / 2));
    let full = fed(&stage, &["image", "pull", "-q", "docker-archive:-"], b"").await;
    assert!(full.stderr.contains("must stay free"), "{}", full.stderr);
    let for_a_vm = run(stage.banger(&["run", "--image", "docker-archive:-"])).await;
    assert!(for_a_vm.stderr.contains("is pulled by itself"), "{}", for_a_vm.stderr);
    assert!(stage.daemon.requests().iter().all(|request| !request.contains("images")));
}

#[tokio::test]
async fn an_endless_stream_of_something_else_is_refused_at_once_and_a_pipe_is_read_as_stdin() {
    let stage = Stage::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = stage.banger(&["image", "pull", "-q", "docker-archive:-"]);
    let child = command.stdin(reader).spawn().unwrap();
    drop(command);
    writer.write_all(&b"y\n".repeat(512)).unwrap();
    // The writer does not end.
    let endless = told(child).await;
    drop(writer);
    assert_eq!(endless.status, Some(1));
    assert_eq!(
        endless.stderr,
        "banger: standard input is neither an archive of `docker save` nor an OCI image layout in a tar\n"
    );
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let source = format!("docker-archive:{}:app", pipe.display());
    let child = stage.banger(&["image", "pull", "-q", "--json", &source]).spawn().unwrap();
    let write = tokio::task::spawn_blocking(move || std::fs::write(pipe, b"\x1f\x8b"));
    let told = told(child).await;
    write.await.unwrap().unwrap();
    let asked = serde_json::from_str::<Value>(&told.stdout).unwrap()["asked"].take();
    assert_eq!(asked["source"], "docker-archive:-:app", "{}", told.stderr);
    assert!(asked["input"].as_str().unwrap().starts_with("/proc/"), "{asked}");
}

#[tokio::test]
async fn what_checks_only_bundles_is_refused_for_other_sources() {
    let stage = Stage::new();
    let digest = format!("--sha256={}", "0".repeat(64));
    for (option, expected) in [(digest.as_str(), "--sha256"), ("--minisign-key=x", "--minisign-key")] {
        let told = run(stage.banger(&["image", "pull", option, "alpine"])).await;
        assert_eq!(told.status, Some(2));
        assert!(told.stderr.contains(&format!("`{expected}` needs `--bundle`")), "{}", told.stderr);
    }
}

#[tokio::test]
async fn a_signal_ends_the_reading_of_stdin() {
    let stage = Stage::new();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut command = stage.banger(&["image", "pull", "docker-archive:-"]);
    let mut child = command.stdin(reader).spawn().unwrap();
    let mut line = [0; 20];
    let stderr = child.stderr.as_mut().unwrap();
    tokio::io::AsyncReadExt::read_exact(stderr, &mut line).await.unwrap();
    assert_eq!(&line, b"read standard input\n");
    send(&child, Signal::INT);
    let told = told(child).await;
    assert_eq!(
        (told.status, told.stderr.as_str()),
        (Some(130), "banger: cancelled; nothing is left behind\n")
    );
}

#[tokio::test]
async fn a_quiet_pull_prints_the_name_alone() {
    let stage = Stage::new();
    stage.daemon.script(|script| script.notes = vec!["2 devices were left out".to_owned()]);
    let loud = run(stage.banger(&["image", "pull", "alpine"])).await;
    assert!(loud.stderr.contains("2 devices were left out"), "{}", loud.stderr);
    let quiet = run(stage.banger(&["image", "pull", "-q", "alpine"])).await;
    assert_eq!((quiet.stdout.lines().count(), quiet.stderr.as_str()), (1, ""));
}

#[tokio::test]
async fn json_of_a_deletion_names_the_image() {
    let stage = Stage::new();
    let told = run(stage.banger(&["image", "rm", "--json", "old"])).await;
    let answer = serde_json::from_str::<Value>(&told.stdout).unwrap();
    assert_eq!(answer, json!([{ "target": "old", "ok": true, "image": { "name": "old" } }]));
}

#[tokio::test]
async fn a_bundle_is_not_written_to_stdout() {
    let stage = Stage::new();
    let told = run(stage.banger(&["image", "bundle", "dev", "-o", "-"])).await;
    assert_eq!(told.status, Some(2));
    insta::assert_snapshot!(told.stderr, @r"
    banger: a bundle is written to a file, and not to stdout
    hint: banger image bundle dev --output dev.tar.zst
    ");
}
