//! Kernels and module trees for tests, in the layout of the distributions: what `depmod`, `modprobe` and banger look at is
//! as it is in real ones.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use banger_model::Distro;
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use super::bzimage::tests::{bzimage, pack_kernel};
use super::elf::tests::elf_kernel;
use crate::formats::compression::tests::pack;

/// A module: its path below `kernel`, the functions that it has and needs, and what else it says.
type Module = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const MODULES: [Module; 15] = [
    ("drivers/virtio/virtio", &["register_virtio_driver"], &[], &[]),
    ("drivers/virtio/virtio_ring", &["virtqueue_add"], &["register_virtio_driver"], &[]),
    ("drivers/virtio/virtio_mmio", &[], &["virtqueue_add"], &[]),
    ("drivers/block/virtio_blk", &[], &["virtqueue_add", "register_virtio_driver"], &[]),
    ("net/core/failover", &["failover_register"], &[], &[]),
    ("drivers/net/net_failover", &["net_failover_create"], &["failover_register"], &[]),
    ("drivers/net/virtio_net", &[], &["virtqueue_add", "net_failover_create"], &[]),
    ("drivers/char/virtio_console", &[], &["virtqueue_add"], &[]),
    ("drivers/char/hw_random/virtio-rng", &[], &["virtqueue_add"], &[]),
    ("fs/overlayfs/overlay", &[], &[], &["alias=fs-overlay"]),
    ("lib/crc16", &["crc16"], &[], &[]),
    ("fs/mbcache", &["mb_cache_create"], &[], &[]),
    ("fs/jbd2/jbd2", &["jbd2_journal_start"], &[], &[]),
    (
        "fs/ext4/ext4",
        &[],
        &["crc16", "mb_cache_create", "jbd2_journal_start"],
        &["alias=fs-ext4", "softdep=pre: crc32c"],
    ),
    ("crypto/crc32c_generic", &[], &[], &["alias=crc32c", "alias=crypto-crc32c"]),
];

/// Checks the list of what a guest loads: all of these modules, each after what it needs, and `ext4` after the checksum
/// that it asks for softly.
pub(crate) fn assert_load_order(list: &[u8]) {
    let list: Vec<_> = std::str::from_utf8(list).unwrap().lines().collect();
    let file = |path: &str| format!("{}.ko", super::modules::module_name(path));
    let place =
        |path: &str| list.iter().position(|name| *name == file(path)).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(list.len(), MODULES.len(), "{list:?}");
    for (path, _, needs, _) in MODULES {
        for need in needs {
            let (giver, ..) = MODULES.iter().find(|(_, has, ..)| has.contains(need)).unwrap();
            assert!(place(giver) < place(path), "{giver} comes before {path}: {list:?}");
        }
    }
    assert!(place("crc32c_generic") < place("ext4"), "{list:?}");
}

/// A distribution's root file system with one kernel.
pub(crate) struct TestRoot {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) distro: Distro,
    pub(crate) release: &'static str,
}

impl TestRoot {
    pub(crate) fn new(distro: Distro) -> Self {
        let release = match distro {
            Distro::Debian => "6.12.57+deb13-cloud-amd64",
            Distro::Void => "6.12.68_1",
            Distro::Alpine => "6.6.100-0-virt",
        };
        let root = Self { directory: tempfile::tempdir().unwrap(), distro, release };
        root.add(release);
        root
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn modules(&self) -> PathBuf {
        let place = match self.distro {
            Distro::Debian | Distro::Void => "usr/lib/modules",
            Distro::Alpine => "lib/modules",
        };
        self.path().join(place).join(self.release)
    }

    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.path().join("boot").join(image_name(self.distro, self.release))
    }

    /// Adds a kernel with its modules.
    pub(crate) fn add(&self, release: &str) {
        let how = match self.distro {
            Distro::Debian => "lz4",
            Distro::Void | Distro::Alpine => "gzip",
        };
        let image = bzimage(release, &pack_kernel(how, &elf_kernel(release, true)));
        fs::create_dir_all(self.path().join("boot")).unwrap();
        fs::write(self.path().join("boot").join(image_name(self.distro, release)), image).unwrap();
        let config = include_str!("testdata/config-6.1.0-56-cloud-amd64");
        fs::write(self.path().join("boot").join(format!("config-{release}")), config).unwrap();
        write_modules(&self.modules().with_file_name(release), self.distro);
        if self.distro != Distro::Alpine && !self.path().join("lib").exists() {
            std::os::unix::fs::symlink("usr/lib", self.path().join("lib")).unwrap();
        }
    }
}

fn image_name(distro: Distro, release: &str) -> String {
    match distro {
        Distro::Debian | Distro::Void => format!("vmlinuz-{release}"),
        Distro::Alpine => format!("vmlinuz-{}", release.rsplit('-').next().unwrap()),
    }
}

/// Writes the module tree, compressed as the distribution compresses it.
pub(crate) fn write_modules(tree: &Path, distro: Distro) {
    let mut order = String::new();
    for (path, has, needs, says) in MODULES {
        let module = module(path, has, needs, says);
        let (suffix, content) = match distro {
            Distro::Debian => (".ko.xz", pack("xz", &["--check=crc32", "-c"], &module)),
            Distro::Void => (".ko.zst", pack("zstd", &["-q", "-c"], &module)),
            Distro::Alpine => (".ko.gz", pack("gzip", &["-n", "-f", "-9", "-c"], &module)),
        };
        let path = format!("kernel/{path}");
        let place = tree.join(format!("{path}{suffix}"));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
        writeln!(order, "{path}.ko").unwrap();
    }
    fs::write(tree.join("modules.order"), order).unwrap();
    fs::write(tree.join("modules.builtin"), "kernel/drivers/virtio/virtio_pci.ko\n").unwrap();
    fs::write(tree.join("modules.builtin.modinfo"), "virtio_pci.license=GPL\0").unwrap();
    // Made by the distribution's depmod, with the names of compressed files.
    fs::write(tree.join("modules.dep"), "kernel/fs/overlayfs/overlay.ko.gz:\n").unwrap();
    std::os::unix::fs::symlink("../../../src/kernel-headers", tree.join("build")).unwrap();
}

fn module(path: &str, has: &[&str], needs: &[&str], says: &[&str]) -> Vec<u8> {
    let name = super::modules::module_name(path);
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let mut info = format!("license=GPL\0name={name}\0").into_bytes();
    info.extend(says.iter().flat_map(|word| format!("{word}\0").into_bytes()));
    let mut section = |name: &str, content: &[u8]| {
        let section = object.add_section(Vec::new(), name.into(), SectionKind::ReadOnlyData);
        object.append_section_data(section, content, 1);
    };
    section(".modinfo", &info);
    section(
        "__ksymtab_strings",
        &has.iter().flat_map(|name| format!("{name}\0").into_bytes()).collect::<Vec<_>>(),
    );
    for name in needs {
        object.add_symbol(Symbol {
            name: (*name).into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
    }
    object.write().unwrap()
}

/// A Debian package of the kernel of a root.
pub(crate) fn deb(directory: &Path, package: &str, architecture: &str, root: &TestRoot) -> PathBuf {
    let mut data = tar::Builder::new(Vec::new());
    data.append_dir_all("./boot", root.path().join("boot")).unwrap();
    data.follow_symlinks(false);
    let tree = Path::new("./usr/lib/modules").join(root.release);
    data.append_dir_all(tree, root.modules()).unwrap();
    let control = format!("Package: {package}\nVersion: 6.1.192-2\nArchitecture: {architecture}\n");
    let mut about = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    about.append_data(&mut header, "./control", control.as_bytes()).unwrap();
    let path = directory.join(format!("{package}.deb"));
    let mut archive = ar::Builder::new(fs::File::create(&path).unwrap());
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", pack("xz", &["-c"], &about.into_inner().unwrap())),
        ("data.tar.xz", pack("xz", &["-c"], &data.into_inner().unwrap())),
    ] {
        let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        archive.append(&header, content.as_slice()).unwrap();
    }
    path
}
