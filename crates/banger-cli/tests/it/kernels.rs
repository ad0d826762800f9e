//! The commands under `kernel`.

use banger_api::ErrorCode;
use banger_model::{ArtifactKind, Hint};
use serde_json::Value;

use crate::daemon::error;
use crate::program::{Stage, run};

#[tokio::test]
async fn the_list_has_what_is_here_and_on_request_what_can_be_had() {
    let stage = Stage::new();
    let names = async |words: &[&str]| {
        let told = run(stage.banger(words)).await;
        let kernels: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
        kernels.iter().map(|kernel| kernel["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["kernel", "list", "--json"]).await, ["debian-12"]);
    assert_eq!(names(&["kernel", "list", "--available", "--json"]).await, ["debian-12", "debian-13"]);
    assert_eq!(names(&["kernel", "catalog", "--json"]).await, ["debian-13"]);
}

#[tokio::test]
async fn an_import_sends_an_absolute_path_and_prints_the_name_that_the_daemon_chose() {
    let stage = Stage::new();
    let told =
        run(stage.banger(&["kernel", "import", "-q", "--distro", "void", "--from", "some/root"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "void-6.12.68_1\n"), "{}", told.stderr);
    let digest = "A".repeat(64);
    let words = [
        "kernel", "import", "-q", "--json", "--force", "--name", "mine", "--sha256", &digest, "--from",
        "k.deb",
    ];
    let told = run(stage.banger(&words)).await;
    let asked = &serde_json::from_str::<Value>(&told.stdout).unwrap()["asked"];
    let from = std::path::absolute("k.deb").unwrap();
    assert_eq!(asked["from"], from.to_str().unwrap());
    assert_eq!((&asked["name"], &asked["force"]), (&"mine".into(), &true.into()));
    assert_eq!(asked["sha256"], "a".repeat(64));
    assert_eq!(asked.get("distro"), None);
}

#[tokio::test]
async fn an_import_that_makes_no_sense_reaches_no_daemon() {
    let stage = Stage::new();
    for (words, told) in [
        (&["--from", "x", "--distro", "gentoo"][..], "gentoo"),
        (&["--from", "x", "--sha256", "12"], "64 hexadecimal digits"),
        (&["--from", "x", "--name", "../x"], "kernel name"),
        (&["--from", "x", "--release", "6.1"], "--distro"),
        (&["--distro", "void"], "--from"),
    ] {
        let answer = run(stage.banger(&[&["kernel", "import"], words].concat())).await;
        assert_eq!(answer.status, Some(2), "{words:?}");
        assert!(answer.stderr.contains(told), "{words:?}: {}", answer.stderr);
    }
    assert!(stage.daemon.requests().iter().all(|request| !request.contains("kernels")));
}

#[tokio::test]
async fn several_kernels_are_removed_and_one_that_is_used_is_told() {
    let stage = Stage::new();
    stage.daemon.script(|script| {
        let mut used = error(ErrorCode::Conflict, "the kernel `used` is used by VM `dev`");
        used.hint = Some(Hint::Show { kind: ArtifactKind::Kernel, name: "mine".to_owned() });
        script.errors.insert("POST /v1/kernels/used/delete".into(), used);
    });
    let told = run(stage.banger(&["kernel", "delete", "-q", "old", "used", "older", "old"])).await;
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stdout, "old\nolder\n");
    insta::assert_snapshot!(told.stderr, @r"
    banger: used: the kernel `used` is used by VM `dev`
    hint: banger kernel show mine
    ");
    let told = run(stage.banger(&["kernel", "rm", "-q", "--json", "old", "used"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&value[0]["ok"], &value[1]["ok"]), (&true.into(), &false.into()));
    assert_eq!(value[1]["error"]["code"], "conflict");
}

#[tokio::test]
async fn names_are_completed_live_by_what_the_command_can_do_with_them() {
    let stage = Stage::new();
    let completed = async |words: &[&str]| {
        let mut banger = stage.banger(&[&["--", "banger"], words].concat());
        banger.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        run(banger).await.stdout
    };
    assert_eq!(completed(&["kernel", "rm", "deb"]).await, "debian-12");
    assert_eq!(completed(&["kernel", "pull", "deb"]).await, "debian-13");
    assert_eq!(completed(&["kernel", "show", "deb"]).await, "debian-12\ndebian-13");
    assert_eq!(completed(&["kernel", "import", "--distro", "a"]).await, "alpine");
}
