//! `docker-registry` on loopback.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Name and password of who may use a closed registry, as docker's configuration has them (`ada:hunter2`), and as the
/// registry has them.
pub(crate) const LOGIN: &str = "YWRhOmh1bnRlcjI=";
const HTPASSWD: &str = "ada:$2b$05$AogjUhs9IdmfcJ3T3NZZvOM1VKPRA.7pyp97YKjyt/ov7zuNE.9qu\n";

/// A registry with what was pushed to it; ends with the test.
pub(crate) struct DockerRegistry {
    process: Child,
    pub(crate) host: String,
    _home: tempfile::TempDir,
}

impl DockerRegistry {
    pub(crate) fn open() -> Self {
        Self::start("")
    }

    /// Wants a name and a password.
    pub(crate) fn closed() -> Self {
        Self::start("auth:\n  htpasswd:\n    realm: test\n    path: HOME/htpasswd\n")
    }

    fn start(more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("htpasswd"), HTPASSWD).unwrap();
        // Taken and let go: nobody else gets it soon.
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: HOME/data\nhttp:\n  addr: {host}\n{more}"
        );
        let config = home.path().join("config.yml");
        fs::write(&config, text.replace("HOME", &home.path().display().to_string())).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`docker-registry` is needed for this test: {error}"));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let is_ready = lines.by_ref().any(|line| line.unwrap().contains("listening on"));
        assert!(is_ready, "the registry ended");
        // Read on, or it would wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, host, _home: home }
    }

    /// Copies an image of a layout to the registry by `skopeo`.
    pub(crate) fn push(&self, layout: &Path, tag: &str, name: &str, more: &[&str]) {
        let from = format!("oci:{}:{tag}", layout.display());
        let to = format!("docker://{}/{name}", self.host);
        skopeo(&[&["copy", "--quiet", "--dest-tls-verify=false"], more, &[&from, &to]].concat());
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn skopeo(arguments: &[&str]) {
    tool(Command::new("skopeo").args(["--insecure-policy"]).args(arguments));
}

/// Runs a tool to its end.
pub(crate) fn tool(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
