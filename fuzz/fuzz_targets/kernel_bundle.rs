//! A kernel in one file, as `kernel import` accepts it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = banger_fuzz::place();
    banger_image::fuzzing::kernel_bundle(&banger_fuzz::file(&place, bytes), &place.path().join("inside"));
    banger_fuzz::assert_only_inside(&place);
});
