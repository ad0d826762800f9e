//! A user's configuration file.

#![no_main]

// Only this module is included, because the daemon around it depends on a hundred crates.
#[path = "../../crates/banger-daemon/src/config/mod.rs"]
#[allow(dead_code)]
mod config;

use banger_model::HostSize;
use config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = banger_fuzz::place();
    let host = HostSize { processors: 8, memory_mib: 16_384 };
    if let Err(error) = Config::load(&banger_fuzz::file(&place, bytes), host) {
        assert!(!error.to_string().is_empty());
    }
});
