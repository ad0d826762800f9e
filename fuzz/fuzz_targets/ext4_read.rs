//! A file that claims to be an ext4 file system. Our reader returns a result or an error for any bytes, in bounded time.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = banger_fuzz::place();
    // Whether the result makes sense does not matter here.
    let _ = banger_fuzz::read_all(&banger_fuzz::file(&place, bytes));
});
