//! What a guest sends by its network device: frames of every kind, and segments of a connection that somebody has made into the
//! guest. Everything outside is closed, so no socket is opened for it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| banger_net::take_frames(bytes));
