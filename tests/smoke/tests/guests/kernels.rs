//! Kernels of the user: Debian's own package, and a root file system unpacked from it, boot real guests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_smoke::Home;
use banger_smoke::harness::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure(
        "own_kernel",
        13,
        "a distribution's own kernel boots, and cannot be deleted while it is used",
        own_kernel_boots_and_stays,
    ),
    Scenario::pure(
        "kernel_without_pvh",
        7,
        "a kernel without a PVH entry boots from its vmlinuz",
        without_pvh_entry,
    ),
];

/// Runs a program of the host and returns its output.
fn host(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(directory).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Downloads Debian's kernel for virtual machines; returns the package.
fn download(directory: &Path) -> PathBuf {
    let depends = host(directory, "apt-cache", &["depends", "linux-image-cloud-amd64"]);
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let package = format!("linux-image-{}", package.expect("the package depends on a kernel"));
    host(directory, "apt-get", &["-q", "download", &package]);
    let mut files = fs::read_dir(directory).expect("directory").map(|entry| entry.expect("entry").path());
    files.find(|path| path.extension().is_some_and(|suffix| suffix == "deb")).expect("a package")
}

fn own_kernel_boots_and_stays() {
    let home = Home::ready();
    let work = tempfile::tempdir().unwrap();
    let package = download(work.path());
    let root = work.path().join("root");
    host(work.path(), "dpkg-deb", &["-x", package.to_str().unwrap(), "root"]);
    let name = home.text(&["kernel", "import", "-q", "--distro", "debian", "--from", root.to_str().unwrap()]);
    let name = name.trim();
    let release = name.strip_prefix("debian-").unwrap();
    assert!(root.join("boot").join(format!("vmlinuz-{release}")).is_file(), "{name}");

    let run = ["vm", "run", "-q", "-d", "--name", "own", "--kernel", name, "--memory", "1G"];
    assert_eq!(home.text(&run).trim(), home.show("own")["id"]);
    let guest = |script: &str| home.text(&["vm", "exec", "own", "--", "sh", "-c", script]);
    assert_eq!(guest("uname -r").trim(), release);
    // The modules drive belongs to this kernel.
    assert_eq!(guest("findmnt -no FSTYPE /lib/modules/$(uname -r)"), "ext4\n");
    assert_eq!(guest("modprobe dm_mod && grep -c ^dm_mod /proc/modules"), "1\n");

    let refused = home.banger(&["kernel", "delete", "-q", name]).run();
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("is used by VM `own`"), "{refused:?}");
    // Replaced under a running VM, whose own files stay.
    let force = ["kernel", "import", "-q", "--force", "--name", name, "--from", package.to_str().unwrap()];
    assert_eq!(home.text(&force).trim(), name);
    assert_eq!(guest("echo 3 > /proc/sys/vm/drop_caches; modprobe nbd && grep -c ^nbd /proc/modules"), "1\n");

    let _ = home.text(&["vm", "delete", "-q", "own"]);
    assert_eq!(home.text(&["kernel", "delete", "-q", name]), format!("{name}\n"));
    assert!(!home.path().join("state/kernels").join(name).exists());
    home.assert_nothing_left();
}

fn without_pvh_entry() {
    let home = Home::ready();
    let parts = tempfile::tempdir().unwrap();
    let package = download(parts.path());
    host(parts.path(), "dpkg-deb", &["-x", package.to_str().unwrap(), "."]);
    let boot = fs::read_dir(parts.path().join("boot")).unwrap().map(|entry| entry.unwrap().path());
    let is_kernel = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("vmlinuz-");
    fs::rename(boot.into_iter().find(is_kernel).unwrap(), parts.path().join("vmlinuz")).unwrap();
    fs::copy(home.path().join("state/kernels/debian-12/vmlinux"), parts.path().join("vmlinux")).unwrap();
    hide_pvh_entry(&parts.path().join("vmlinux"));
    let import = ["kernel", "import", "-q", "--name", "packed", "--from", parts.path().to_str().unwrap()];
    assert_eq!(home.text(&import), "packed\n");
    let run =
        ["vm", "run", "-q", "--rm", "--kernel", "packed", "--memory", "1G", "--", "cat", "/proc/version"];
    assert!(home.text(&run).starts_with("Linux version "));
    home.assert_nothing_left();
}

/// Removes the note that describes the entry (name `Xen`, type 18).
fn hide_pvh_entry(path: &Path) {
    let mut kernel = fs::read(path).unwrap();
    let note = [&18_u32.to_le_bytes()[..], b"Xen\0"].concat();
    let place = kernel.windows(note.len()).position(|part| part == note).expect("Debian's kernel has it");
    kernel[place] = 0x7f;
    fs::write(path, kernel).unwrap();
}
