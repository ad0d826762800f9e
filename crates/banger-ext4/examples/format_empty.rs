//! Makes an empty disk with a journal: `cargo run --example format_empty -- disk.ext4 8`, the size in GiB.

use std::process::ExitCode;
use std::time::Instant;

use banger_ext4::{FormatOptions, Journal, format_empty};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(Ok(size_gib))) =
        (arguments.next(), arguments.next().map(|size| size.parse::<u64>()))
    else {
        eprintln!("usage: format_empty DISK SIZE_GIB");
        return ExitCode::FAILURE;
    };
    let options = FormatOptions {
        size_bytes: size_gib << 30,
        label: "work".to_owned(),
        uuid: *b"format_empty idX",
        hash_seed: *b"format_empty sed",
        created_at: 1_700_000_000,
        inodes_min: 0,
        journal: Journal::Auto,
    };
    let start = Instant::now();
    match format_empty(path.as_ref(), options) {
        Ok(summary) => {
            println!("{summary:?} in {:?}", start.elapsed());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}
