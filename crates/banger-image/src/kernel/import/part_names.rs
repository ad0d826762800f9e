//! Names of what a kernel is imported from, beside those that a kernel of banger has.

/// The directory of the modules, or of directories of them by release.
pub(super) const MODULES: &str = "modules";
/// The configuration of a kernel.
pub(super) const CONFIG: &str = "config";
/// Another usual name of an initramfs.
pub(super) const INITRD: &str = "initrd.img";
