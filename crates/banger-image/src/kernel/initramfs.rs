//! The guest's first root: the agent as `/init` and the modules it loads, as one cpio archive in two parts, so that
//! another agent costs no more than putting them together again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::formats::cpio::CpioWriter;
use crate::kernel::modules::{GUEST_MODULES, ModuleIndex, ModuleTexts, ModulesError, module_name};

/// The modules' entries are numbered from here, well after those of the agent's part.
const MODULES_FIRST_INODE: u32 = 1000;

/// Why the modules' part cannot be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum InitramfsError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot order the modules of the initramfs")]
    Order(#[source] ModulesError),
}

/// Returns the archive of the modules below `modules` (a `lib/modules/<release>` after `depmod`), with its trailer.
pub(crate) fn modules_part(modules: &Path) -> Result<Vec<u8>, InitramfsError> {
    let text = |name: &str| {
        let path = modules.join(name);
        fs::read_to_string(&path).map_err(|source| InitramfsError::Read { path, source })
    };
    let [dep, builtin, softdep, alias] =
        ["modules.dep", "modules.builtin", "modules.softdep", "modules.alias"].map(text);
    let (dep, builtin, softdep, alias) = (dep?, builtin?, softdep?, alias?);
    let index =
        ModuleIndex::parse(ModuleTexts { dep: &dep, builtin: &builtin, softdep: &softdep, alias: &alias });
    let order = index.load_order(GUEST_MODULES).map_err(InitramfsError::Order)?;
    let mut archive = CpioWriter::new(MODULES_FIRST_INODE);
    archive.directory("modules", 0o755);
    let list: String = order.iter().map(|path| format!("{}.ko\n", module_name(path))).collect();
    archive.file("modules/load.list", 0o644, list.as_bytes());
    for path in order {
        let name = module_name(path);
        let path = modules.join(path);
        let content = fs::read(&path).map_err(|source| InitramfsError::Read { path, source })?;
        archive.file(&format!("modules/{name}.ko"), 0o644, &content);
    }
    Ok(archive.finish())
}

/// Returns the archive for a kernel that has everything built in, with its trailer.
pub(crate) fn no_modules_part() -> Vec<u8> {
    let mut archive = CpioWriter::new(MODULES_FIRST_INODE);
    archive.directory("modules", 0o755);
    archive.file("modules/load.list", 0o644, b"");
    archive.finish()
}

/// Returns the whole archive: the agent's part and the modules' part.
pub(crate) fn initramfs(agent: &[u8], modules_part: &[u8]) -> Vec<u8> {
    let mut archive = CpioWriter::new(1);
    for directory in ["dev", "mnt", "proc", "run", "sys"] {
        archive.directory(directory, 0o755);
    }
    // The kernel opens the console as the standard streams of its first process, before anything is mounted. Where there is no
    // console, the agent opens `/dev/null`; what keeps it from mounting the devices is told by the kernel's log.
    archive.character_device("dev/console", 0o600, (5, 1));
    archive.character_device("dev/kmsg", 0o600, (1, 11));
    archive.character_device("dev/null", 0o666, (1, 3));
    archive.file("init", 0o755, agent);
    let mut bytes = archive.into_part();
    bytes.extend_from_slice(modules_part);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| fs::write(tree.path().join(name), content).unwrap();
        let names = ["overlay", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console"];
        let mut dep: String = names.iter().map(|name| format!("{name}.ko: virtio.ko\n")).collect();
        dep.push_str("virtio.ko:\n");
        put("modules.dep", dep.as_bytes());
        put("modules.builtin", b"kernel/fs/ext4/ext4.ko\n");
        for name in names {
            put(&format!("{name}.ko"), name.as_bytes());
        }
        put("virtio.ko", b"plain virtio");
        for text in ["modules.softdep", "modules.alias"] {
            put(text, b"");
        }
        tree
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn the_archive_has_the_agent_and_the_modules_in_load_order() {
        let part = modules_part(tree().path()).unwrap();
        let list = "virtio.ko\noverlay.ko\nvirtio_mmio.ko\nvirtio_blk.ko\nvirtio_net.ko\nvirtio_console.ko\n";
        assert!(contains(&part, list.as_bytes()));
        assert!(contains(&part, b"plain virtio"));
        let whole = initramfs(b"the agent", &part);
        assert!(contains(&whole, b"the agent"));
        assert!(whole.ends_with(&part));
    }

    #[test]
    fn the_first_process_finds_the_devices_that_it_needs_before_it_mounts_any() {
        let bytes = initramfs(b"the agent", &no_modules_part());
        let entries = crate::formats::cpio::list(&bytes);
        assert_eq!(
            entries,
            [
                "drwxr-xr-x dev",
                "drwxr-xr-x mnt",
                "drwxr-xr-x proc",
                "drwxr-xr-x run",
                "drwxr-xr-x sys",
                "crw------- 5,1 dev/console",
                "crw------- 1,11 dev/kmsg",
                "crw-rw-rw- 1,3 dev/null",
                "-rwxr-xr-x init",
                "drwxr-xr-x modules",
                "-rw-r--r-- modules/load.list",
            ]
        );
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let (first, second) = (modules_part(tree().path()).unwrap(), modules_part(tree().path()).unwrap());
        assert_eq!(initramfs(b"agent", &first), initramfs(b"agent", &second));
    }
}
