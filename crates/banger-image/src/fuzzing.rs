//! Doors for the fuzz targets (`fuzz/`) to parsers that are nobody else's business. Only there under `cfg(fuzzing)`.

use std::fs;
use std::path::Path;

use banger_ext4::{Ext4Writer, FormatOptions, Journal};
use banger_sys::blocking::Cancelled;

use crate::kernel::module_tree::Place;
use crate::kernel::{extract_vmlinux, read_control, release, unpack_bundle, unpack_deb};
use crate::oci::fuzzing as oci;

pub use crate::oci::fuzzing::oci_document;

/// Size of the file system that a layer is unpacked into; only what is written takes memory.
const DISK_BYTES: u64 = 64 << 20;

/// Flattens a layer into a new file system; tells whether it was one.
pub fn oci_layer(bytes: &[u8], disk: &Path) -> bool {
    let options = FormatOptions {
        size_bytes: DISK_BYTES,
        label: String::new(),
        uuid: [0; 16],
        hash_seed: [0; 16],
        created_at: 0,
        inodes_min: 0,
        journal: Journal::None,
    };
    let Ok(mut writer) = Ext4Writer::create(disk, options) else { return false };
    oci::add_layer(&mut writer, bytes) && writer.finish_shrunk(0).is_ok()
}

/// Takes a Debian package apart, all of it.
pub fn kernel_package(package: &Path, target: &Path) {
    let _ = read_control(package);
    let everything = |path: &Path| Some(Place::plain(path.to_owned()));
    if fs::create_dir(target).is_ok() {
        let _ = unpack_deb(package, target, everything, &Cancelled::default());
    }
}

/// Unpacks a bundle with a kernel.
pub fn kernel_bundle(bundle: &Path, target: &Path) {
    let _ = unpack_bundle(bundle, None, target, &Cancelled::default());
}

/// Takes the ELF kernel out of a bzImage.
pub fn kernel_image(image: &[u8]) {
    let _ = release(image);
    let _ = extract_vmlinux(image);
}
