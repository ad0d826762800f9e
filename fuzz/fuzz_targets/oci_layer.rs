//! A layer, compressed or not: it is flattened into a file system, which our own reader must be able to read.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = banger_fuzz::place();
    let disk = place.path().join("rootfs.ext4");
    if banger_image::fuzzing::oci_layer(bytes, &disk) {
        banger_fuzz::read_all(&disk).expect("what we write can be read");
    }
});
