//! Makes an image from a tar stream on standard input: `tar -c . | cargo run --example tar_to_ext4 -- image.ext4`.

use std::io::stdin;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use banger_ext4::{Ext4Writer, FormatError, FormatOptions, Journal, TarAction};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: tar_to_ext4 IMAGE < TAR");
        return ExitCode::FAILURE;
    };
    match make(path.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}

fn make(path: &Path) -> Result<(), FormatError> {
    let start = Instant::now();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let options = FormatOptions {
        size_bytes: 64 << 30,
        label: "image".to_owned(),
        uuid: *b"tar_to_ext4 uuid",
        hash_seed: *b"tar_to_ext4 seed",
        created_at: i64::try_from(now.as_secs()).unwrap_or(0),
        inodes_min: 0,
        journal: Journal::None,
    };
    let mut writer = Ext4Writer::create(path, options)?;
    let tar = writer.add_tar(stdin().lock(), |_| TarAction::Keep)?;
    let streamed = start.elapsed();
    let image = writer.finish_shrunk(1 << 20)?;
    println!("{tar:?}\n{image:?}\nstreamed in {streamed:?}, all in {:?}", start.elapsed());
    Ok(())
}
