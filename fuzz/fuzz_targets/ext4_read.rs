//! A file that is said to be an ext4 file system. Our reader answers for every byte of it, in bounded time.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = banger_fuzz::place();
    // Whether it makes sense does not matter here.
    let _ = banger_fuzz::read_all(&banger_fuzz::file(&place, bytes));
});
