//! Loads the kernel modules from the initramfs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use crate::console;

const DIRECTORY: &str = "/modules";
const LIST: &str = "/modules/load.list";

/// Loads the modules in the order of the list, and frees their memory. A module that cannot be loaded is reported and
/// skipped; whatever needs it fails with an error of its own.
pub(super) fn load() {
    let list = fs::read_to_string(LIST).unwrap_or_default();
    for name in names(&list) {
        let path = Path::new(DIRECTORY).join(name);
        if let Err(error) = load_one(&path) {
            console::error(&error);
        }
    }
    let _ = fs::remove_dir_all(DIRECTORY);
}

#[derive(Debug, thiserror::Error)]
#[error("cannot load the module `{}`", path.display())]
struct LoadError {
    path: PathBuf,
    source: std::io::Error,
}

fn load_one(path: &Path) -> Result<(), LoadError> {
    let failed = |source| LoadError { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    match rustix::system::finit_module(&file, c"", 0) {
        // Built in, or loaded before.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_one_name_a_line() {
        let found: Vec<_> = names("virtio.ko\n\n# note\n  virtio_ring.ko \r\nlast.ko").collect();
        assert_eq!(found, ["virtio.ko", "virtio_ring.ko", "last.ko"]);
    }
}
