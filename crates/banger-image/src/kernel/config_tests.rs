use std::io::Write as _;

use super::*;

/// The lines of the configuration of Debian's `linux-image-6.1.0-56-cloud-amd64` that the table is about.
const DEBIAN: &str = include_str!("testdata/config-6.1.0-56-cloud-amd64");

fn lacking(text: &str) -> Lacking {
    KernelConfig::parse(text).lacking()
}

/// Debian's configuration with a line instead of another one.
fn with(from: &str, to: &str) -> Lacking {
    assert!(DEBIAN.contains(from), "{from}");
    lacking(&DEBIAN.replace(from, to))
}

#[test]
fn debians_kernel_lacks_nothing() {
    assert_eq!(lacking(DEBIAN), Lacking::default());
}

#[test]
fn what_no_guest_boots_without_is_fatal_and_a_module_is_as_good_only_where_it_comes_in_time() {
    let fatal = |option: &str| Lacking { fatal: vec![option.to_owned()], tolerable: Vec::new() };
    assert_eq!(with("CONFIG_OVERLAY_FS=m\n", "# CONFIG_OVERLAY_FS is not set\n"), fatal("CONFIG_OVERLAY_FS"));
    assert_eq!(with("CONFIG_DEVTMPFS=y\n", ""), fatal("CONFIG_DEVTMPFS"));
    assert_eq!(with("CONFIG_UNIX=y\n", "CONFIG_UNIX=m\n"), fatal("CONFIG_UNIX"));
    assert_eq!(with("CONFIG_EXT4_FS=y\n", "CONFIG_EXT4_FS=m\n"), Lacking::default());
    let without_modules = with("CONFIG_MODULES=y\n", "").fatal;
    assert!(without_modules.contains(&"CONFIG_OVERLAY_FS".to_owned()), "{without_modules:?}");
}

#[test]
fn what_one_vmm_or_a_part_needs_is_tolerable_until_no_vmm_is_left() {
    let no_vsock = with("CONFIG_VSOCKETS=m\n", "");
    assert_eq!(
        (no_vsock.fatal.len(), no_vsock.tolerable),
        (0, vec!["CONFIG_VSOCKETS (to boot under Firecracker)".to_owned()])
    );
    let no_console = with("CONFIG_VIRTIO_CONSOLE=m\n", "");
    assert_eq!(no_console.tolerable, ["CONFIG_VIRTIO_CONSOLE (to boot under QEMU)"]);
    let neither = DEBIAN.replace("CONFIG_VSOCKETS=m\n", "").replace("CONFIG_VIRTIO_CONSOLE=m\n", "");
    assert_eq!(lacking(&neither).fatal, ["CONFIG_VIRTIO_CONSOLE", "CONFIG_VSOCKETS"]);
    assert_eq!(
        with("CONFIG_UNIX98_PTYS=y\n", "").tolerable,
        ["CONFIG_UNIX98_PTYS (terminals: `vm ssh`, `vm exec -it`)"]
    );
    let no_acpi = with("CONFIG_ACPI=y\n", "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\n");
    assert_eq!(no_acpi.tolerable, ["CONFIG_ACPI (to boot under QEMU)"]);
}

#[test]
fn a_configuration_is_found_in_a_kernel_and_a_damaged_one_says_nothing() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(DEBIAN.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let kernel = [&b"\x7fELF code "[..], IKCONFIG.0, &packed, IKCONFIG.1, b" more"].concat();
    assert_eq!(in_kernel(&kernel).as_deref(), Some(DEBIAN));
    let damaged = [IKCONFIG.0, &packed[..packed.len() / 2], IKCONFIG.1].concat();
    for other in [&damaged[..], b"no kernel", IKCONFIG.0, b""] {
        assert_eq!(in_kernel(other), None);
    }
}

#[test]
fn the_document_has_this_table() {
    let document = include_str!("../../../../docs/kernels.md");
    let table = table_for_people();
    assert!(document.contains(&table), "docs/kernels.md lacks:\n{table}");
}
