//! A bzImage: the release that it tells, and the ELF kernel in it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| banger_image::fuzzing::kernel_image(bytes));
