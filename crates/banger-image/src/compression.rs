//! Reads what distributions compress: kernel modules, packages, bundles.

use std::io::{BufReader, Read};
use std::path::Path;

use crate::zstd_frames::ZstdFrames;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// Tells it from the end of a file's name.
    pub(crate) fn of_name(name: &Path) -> Self {
        match name.extension().and_then(|suffix| suffix.to_str()) {
            Some("gz") => Self::Gzip,
            Some("xz") => Self::Xz,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns the bytes as they were before, of all parts that were compressed one after the other.
    pub(crate) fn reader<'a>(self, packed: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(packed)),
            Self::Zstd => Box::new(ZstdFrames::new(BufReader::new(packed))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{self, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    /// Compresses with the tools that distributions use.
    pub(crate) fn pack(tool: &str, arguments: &[&str], content: &[u8]) -> Vec<u8> {
        let mut child = Command::new(tool)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{tool}: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(content).unwrap());
            child.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "{tool} {arguments:?}");
        output.stdout
    }

    fn unpack(name: &str, packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Compression::of_name(Path::new(name)).reader(packed).read_to_end(&mut content).map(|_| content)
    }

    fn text() -> Vec<u8> {
        (0..200_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect()
    }

    #[test]
    fn every_compression_of_modules_is_undone() {
        let text = text();
        assert!(unpack("a.ko", &text).unwrap() == text);
        for (tool, name) in [("gzip", "a.ko.gz"), ("xz", "a.ko.xz"), ("zstd", "a.ko.zst")] {
            let packed = pack(tool, &["-c"], &text);
            assert!(packed.len() < text.len());
            assert!(unpack(name, &packed).unwrap() == text, "{tool}");
            // Files that were compressed in parts, and put together.
            let twice = [packed.clone(), packed].concat();
            assert!(unpack(name, &twice).unwrap() == [text.clone(), text.clone()].concat(), "{tool}");
        }
    }

    #[test]
    fn a_frame_without_content_is_skipped_and_an_empty_file_is_empty() {
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let packed = [skipped.clone(), pack("zstd", &["-c"], b"text"), skipped].concat();
        assert_eq!(unpack("a.zst", &packed).unwrap(), b"text");
        assert_eq!(unpack("a.zst", b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_is_an_error() {
        for (tool, name) in [("gzip", "a.gz"), ("xz", "a.xz"), ("zstd", "a.zst")] {
            let packed = pack(tool, &["-c"], &text());
            for length in [1, 4, 10, packed.len() / 2, packed.len() - 5] {
                assert!(unpack(name, &packed[..length]).is_err(), "{tool} {length}");
            }
        }
    }
}
