//! A layout with images that `umoci` has made.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::registry::tool;

/// A layout with the images `v1`, and `v2` that is `v1` with a second layer.
pub(crate) struct Layout(tempfile::TempDir);

impl Layout {
    pub(crate) fn made() -> Self {
        let layout = Self(tempfile::tempdir().unwrap());
        layout.umoci(&["init", "--layout", &layout.text()]);
        layout.umoci(&["new", "--image", &layout.image("v1")]);
        layout.change("v1", "v1", |root| {
            fs::create_dir_all(root.join("etc/keep")).unwrap();
            fs::create_dir_all(root.join("usr/bin")).unwrap();
            fs::write(root.join("etc/os-release"), "ID=tiny\n").unwrap();
            fs::write(root.join("etc/gone"), "x").unwrap();
            fs::write(root.join("usr/bin/tool"), vec![7; 3 << 20]).unwrap();
            fs::set_permissions(root.join("usr/bin/tool"), Permissions::from_mode(0o4755)).unwrap();
            fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/other")).unwrap();
            symlink("usr/bin", root.join("bin")).unwrap();
            fs::create_dir(root.join("directory")).unwrap();
            fs::write(root.join("directory/in"), "x").unwrap();
        });
        layout.change("v1", "v2", |root| {
            fs::remove_file(root.join("etc/gone")).unwrap();
            fs::remove_dir_all(root.join("directory")).unwrap();
            fs::write(root.join("directory"), "a file now").unwrap();
            fs::write(root.join("etc/new"), "new").unwrap();
        });
        layout.umoci(&[
            "config",
            "--image",
            &layout.image("v2"),
            "--config.env",
            "A=b c",
            "--config.cmd",
            "run",
            "--config.cmd",
            "it",
            "--config.user",
            "7:8",
            "--config.workingdir",
            "/srv",
        ]);
        layout
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("layout")
    }

    fn text(&self) -> String {
        self.path().display().to_string()
    }

    fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.text())
    }

    /// Makes an image out of another one by changing its files.
    fn change(&self, from: &str, to: &str, change: impl FnOnce(&Path)) {
        let bundle = self.0.path().join(format!("bundle-{to}"));
        let text = bundle.display().to_string();
        self.umoci(&["unpack", "--rootless", "--image", &self.image(from), &text]);
        change(&bundle.join("rootfs"));
        self.umoci(&["repack", "--image", &self.image(to), &text]);
        fs::remove_dir_all(bundle).unwrap();
    }

    fn umoci(&self, arguments: &[&str]) {
        tool(Command::new("umoci").args(arguments).current_dir(self.0.path()));
    }
}
