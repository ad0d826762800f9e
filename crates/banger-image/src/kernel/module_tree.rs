//! A distribution's module tree as banger keeps it: uncompressed, because the tools of one distribution do not know the
//! compression of another (Debian's know no gzip, busybox no zstd), and a kernel may run with any image.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use banger_sys::blocking::Cancelled;

use crate::formats::compression::Compression;

/// What the kernel's build tells about the modules; the rest of `modules.*` is made anew by `depmod`.
const BUILD_TEXTS: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
/// No module is larger; a damaged one must not fill the disk.
const MODULE_BYTES_MAX: u64 = 512 << 20;

/// Why a module tree could not be taken over.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ModuleTreeError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot unpack the module `{}`", path.display())]
    Unpack { path: PathBuf, source: io::Error },
    #[error("the module `{}` is larger than {} MiB", path.display(), MODULE_BYTES_MAX >> 20)]
    TooLarge { path: PathBuf },
    #[error("there are no modules in `{}`", path.display())]
    Empty { path: PathBuf },
}

/// A module tree in the form that `depmod` works on: `<base>/lib/modules/<release>`.
#[derive(Clone, Debug)]
pub(crate) struct ModuleTree {
    pub(crate) base: PathBuf,
    pub(crate) release: String,
}

impl ModuleTree {
    /// Where the modules are.
    pub(crate) fn path(&self) -> PathBuf {
        self.base.join("lib/modules").join(&self.release)
    }

    /// Copies the tree in `from` to below `base`. Links are not followed: they lead out of the tree.
    pub(crate) fn copy(
        from: &Path,
        base: PathBuf,
        release: &str,
        cancelled: &Cancelled,
    ) -> Result<Self, ModuleTreeError> {
        let tree = Self { base, release: release.to_owned() };
        let mut modules = 0_usize;
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let here = from.join(&directory);
            let unreadable = |source| ModuleTreeError::Read { path: here.clone(), source };
            for entry in fs::read_dir(&here).map_err(unreadable)? {
                cancelled.check().map_err(unreadable)?;
                let entry = entry.map_err(unreadable)?;
                let kind = entry.file_type().map_err(unreadable)?;
                let path = directory.join(entry.file_name());
                if kind.is_dir() {
                    directories.push(path);
                } else if let Some(place) = place_in_tree(&path).filter(|_| kind.is_file()) {
                    copy_file(&from.join(&path), &tree.path().join(&place.path), place.compression)?;
                    modules += usize::from(place.is_module());
                }
            }
        }
        if modules == 0 { Err(ModuleTreeError::Empty { path: from.to_owned() }) } else { Ok(tree) }
    }
}

/// Where a file goes, and how it is compressed where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) compression: Compression,
}

impl Place {
    /// A file that stays as it is.
    pub(crate) fn plain(path: PathBuf) -> Self {
        Self { path, compression: Compression::None }
    }

    fn is_module(&self) -> bool {
        self.path.extension().is_some_and(|suffix| suffix == "ko")
    }
}

/// Tells where a file of a module tree goes, relative to the tree; nothing for what is not kept.
pub(crate) fn place_in_tree(path: &Path) -> Option<Place> {
    if BUILD_TEXTS.iter().any(|text| path == Path::new(text)) {
        return Some(Place::plain(path.to_owned()));
    }
    let compression = Compression::of_name(path);
    let path = match compression {
        Compression::None => path.to_owned(),
        Compression::Bzip2 | Compression::Gzip | Compression::Xz | Compression::Zstd => {
            path.with_extension("")
        }
    };
    Some(Place { path, compression }).filter(Place::is_module)
}

fn copy_file(from: &Path, to: &Path, compression: Compression) -> Result<(), ModuleTreeError> {
    let unpack = |source| ModuleTreeError::Unpack { path: from.to_owned(), source };
    let packed = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(from)
        .map_err(|source| ModuleTreeError::Read { path: from.to_owned(), source })?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(unpack)?;
    }
    let mut module = File::create_new(to).map_err(unpack)?;
    let mut content = io::Read::take(compression.reader(packed), MODULE_BYTES_MAX + 1);
    let bytes = io::copy(&mut content, &mut module).map_err(unpack)?;
    if bytes > MODULE_BYTES_MAX {
        return Err(ModuleTreeError::TooLarge { path: from.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::formats::compression::tests::pack;

    #[test]
    fn modules_come_out_uncompressed_and_nothing_else_comes_along() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("usr/lib/modules/6.12.68_1");
        let put = |name: &str, content: &[u8]| {
            let path = from.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        put("kernel/a.ko", b"a");
        put("kernel/fs/b.ko.gz", &pack("gzip", &["-c"], b"b"));
        put("kernel/fs/c.ko.xz", &pack("xz", &["-c"], b"c"));
        put("updates/d.ko.zst", &pack("zstd", &["-q", "-c"], b"d"));
        put("modules.order", b"order");
        put("modules.builtin", b"builtin");
        put("modules.dep.bin", b"made anew");
        put("vdso/vdso64.so", b"for debuggers");
        let secret = home.path().join("secret");
        fs::write(&secret, "the host's").unwrap();
        symlink(&secret, from.join("kernel/e.ko")).unwrap();
        symlink(home.path(), from.join("build")).unwrap();
        let tree =
            ModuleTree::copy(&from, home.path().join("tree"), "6.12.68_1", &Cancelled::default()).unwrap();
        let mut found: Vec<_> = walk(&tree.path())
            .into_iter()
            .map(|path| {
                let content = fs::read_to_string(&path).unwrap();
                format!("{}={content}", path.strip_prefix(tree.path()).unwrap().display())
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "kernel/a.ko=a",
                "kernel/fs/b.ko=b",
                "kernel/fs/c.ko=c",
                "modules.builtin=builtin",
                "modules.order=order",
                "updates/d.ko=d",
            ]
        );
        assert!(tree.path().ends_with("lib/modules/6.12.68_1"));
    }

    #[test]
    fn a_tree_without_modules_and_a_damaged_module_are_named() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("modules");
        let copy = |number: u32| {
            let base = home.path().join(number.to_string());
            ModuleTree::copy(&from, base, "6.1", &Cancelled::default()).unwrap_err().to_string()
        };
        fs::create_dir(&from).unwrap();
        assert_eq!(copy(1), format!("there are no modules in `{}`", from.display()));
        fs::write(from.join("a.ko.zst"), "not zstd").unwrap();
        assert_eq!(copy(2), format!("cannot unpack the module `{}`", from.join("a.ko.zst").display()));
    }

    fn walk(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }
}
