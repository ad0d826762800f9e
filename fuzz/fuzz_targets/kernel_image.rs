//! A bzImage: the release in its header, and the ELF kernel inside it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| banger_image::fuzzing::kernel_image(bytes));
