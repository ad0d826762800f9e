//! Images from files: registered, promoted, passed on as one file, deleted.

use std::fs;

use banger_smoke::Home;
use banger_smoke::harness::Scenario;

use crate::container_image::make_layout;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure(
        "image_register",
        6,
        "files of the host become an image, are copied while a VM uses them, and are deleted when no VM needs them",
        image_register,
    ),
    Scenario::pure(
        "image_bundle",
        3,
        "an image is passed on as one file, verified by its digest",
        image_bundle,
    ),
];

/// Pulls the image `tiny`, whose entry point does not apply to a registered root.
fn pull_tiny(home: &Home) {
    let layout = home.path().join("layout");
    make_layout(&layout);
    let source = format!("oci:{}:v1", layout.display());
    assert_eq!(home.text(&["image", "pull", "-q", &source, "--name", "tiny"]), "tiny\n");
}

fn image_register() {
    let home = Home::ready();
    pull_tiny(&home);
    let rootfs = home.path().join("root.ext4");
    fs::copy(home.path().join("state/images/tiny/rootfs.ext4"), &rootfs).unwrap();
    let path = rootfs.to_str().unwrap();
    let register =
        ["image", "register", "-q", "--name", "mine", "--rootfs", path, "--kernel-ref", "debian-12"];
    assert_eq!(home.text(&register), "mine\n");
    let run = ["vm", "run", "-q", "-d", "--image", "mine", "--name", "m", "--memory", "512M"];
    assert_eq!(home.text(&run).trim(), home.show("m")["id"]);
    let guest = |script: &str| home.text(&["vm", "exec", "m", "--", "sh", "-c", script]);
    assert_eq!(guest("id -u; echo kept > /srv/kept"), "0\n");

    let refused = home.banger(&["image", "delete", "-q", "mine"]).run();
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("is used by VM `m`"), "{refused:?}");
    // Done under a running VM, which uses the copies when it starts again.
    assert_eq!(home.text(&["image", "promote", "-q", "mine"]), "mine\n");
    fs::remove_file(&rootfs).unwrap();
    assert_eq!(guest("cat /srv/kept"), "kept\n");
    let _ = home.text(&["vm", "restart", "-q", "m"]);
    assert_eq!(guest("cat /srv/kept"), "kept\n");

    let _ = home.text(&["vm", "delete", "-q", "m"]);
    assert_eq!(home.text(&["image", "delete", "-q", "mine", "tiny"]), "mine\ntiny\n");
    assert!(!home.path().join("state/images/mine").exists());
    home.assert_nothing_left();
}

fn image_bundle() {
    let home = Home::ready();
    pull_tiny(&home);
    let bundle = home.path().join("tiny.tar.zst");
    let path = bundle.to_str().unwrap();
    let packed = home.text(&["image", "bundle", "-q", "--json", "tiny", "--output", path]);
    let packed: serde_json::Value = serde_json::from_str(&packed).unwrap();
    let digest = packed["sha256"].as_str().unwrap();
    let pull = ["image", "pull", "-q", "--bundle", path, "--name", "again", "--sha256"];
    let other = home.banger(&[&pull[..], &["0".repeat(64).as_str()]].concat()).run();
    assert_eq!(other.status, 1);
    assert!(other.stderr.contains(&format!("its sha256 is {digest}, not 000")), "{other:?}");
    assert!(!home.path().join("state/images/again").exists());
    assert_eq!(home.text(&[&pull[..], &[digest]].concat()), "again\n");
    // It runs the command in the config of the first image.
    let run = ["vm", "run", "-q", "--rm", "--image", "again", "--memory", "512M"];
    assert_eq!(home.text(&run), "entry cmd A=image 1000:1000 /srv\n");
    home.assert_nothing_left();
}
