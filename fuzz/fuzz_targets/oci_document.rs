//! The manifest, index and config of an image, as a registry or a layout provides them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| banger_image::fuzzing::oci_document(bytes));
