//! The agent's program, started as the kernel starts the first process of a guest without a console: no standard streams are
//! open, and `/dev` is empty.

use std::process::Command;

/// Runs a script in namespaces of its own, so that no other process sees the empty `/dev`.
fn in_an_empty_dev(script: &str) -> String {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let output = unshare
        .args(["--mount", "sh", "-c"])
        .arg(format!("mount -t tmpfs none /dev && {script}"))
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_banger-agent"))
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    format!("{said}{complained}")
}

#[test]
fn the_agent_runs_without_standard_streams_and_without_dev_null() {
    // 134 is the abort of Rust's runtime.
    assert_eq!(in_an_empty_dev(r#""$1" --version <&- >&- 2>&-; status=$?; echo $status"#), "0\n");
}

#[test]
fn streams_that_are_open_stay_as_they_are() {
    let version = concat!("banger-agent ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(in_an_empty_dev(r#""$1" --version <&- 2>&-"#), version);
}

#[test]
fn root_makes_the_device_that_is_missing() {
    if !rustix::process::geteuid().is_root() {
        // Only root of the host can make devices.
        return;
    }
    let made =
        in_an_empty_dev(r#""$1" --version <&- >&- 2>&-; echo lost > /dev/null; stat -c %F,%t,%T /dev/null"#);
    assert_eq!(made, "character special file,1,3\n");
}
