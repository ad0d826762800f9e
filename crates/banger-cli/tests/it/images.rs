//! The commands under `image` that are about what is on this host.

use banger_api::ErrorCode;
use serde_json::{Value, json};

use crate::daemon::error;
use crate::program::{Stage, run};

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
        used.hint = Some("banger vm delete dev".to_owned());
        script.errors.insert("POST /v1/images/used/delete".into(), used);
    });
    let told = run(stage.banger(&["image", "delete", "-q", "old", "used", "older"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(1), "old\nolder\n"));
    insta::assert_snapshot!(told.stderr, @r"
    banger: used: the image `used` is used by VM `dev`
    hint: banger vm delete dev
    ");
}
