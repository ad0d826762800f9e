//! A file that claims to be a Debian package with a kernel: nothing of it is written outside the given directory.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = banger_fuzz::place();
    banger_image::fuzzing::kernel_package(&banger_fuzz::file(&place, bytes), &place.path().join("inside"));
    banger_fuzz::assert_only_inside(&place);
});
