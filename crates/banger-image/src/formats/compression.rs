//! Reads what distributions and builders compress: kernel modules, packages, bundles, layers.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use crate::formats::decoding_error::{Watched, Worded};
use crate::formats::zstd_frames::{ZstdFrames, skip_zeros};

/// Enough for a dictionary of 128 MiB, twice as large as that of `xz -9`. A decoder takes what its stream asks for.
const XZ_MEMORY_MAX: u64 = 136 << 20;
const BZIP2: &[u8] = b"BZh";
const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Skippable frames of zstd (RFC 8878, section 3.1.2): `0x184D2A50` to `0x184D2A5F`.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// Compressions that are not read here, by how they begin.
const UNKNOWN: [(&[u8], &str); 4] =
    [(b"\x04\x22\x4d\x18", "lz4"), (b"LZIP", "lzip"), (b"7z\xbc\xaf", "7z"), (b"\x1f\x9d", "compress")];

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Bzip2,
    Gzip,
    Xz,
    Zstd,
}

/// A compression that is not read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) name: &'static str,
}

impl Compression {
    /// Tells it from the end of a file's name.
    pub(crate) fn of_name(name: &Path) -> Self {
        match name.extension().and_then(|suffix| suffix.to_str()) {
            Some("bz2") => Self::Bzip2,
            Some("gz") => Self::Gzip,
            Some("xz") => Self::Xz,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Tells it from the first bytes, six of them where there are so many.
    pub(crate) fn of_start(start: &[u8]) -> Result<Self, Unknown> {
        let is_skippable =
            start.first().is_some_and(|byte| byte & 0xf0 == 0x50) && start.get(1..4) == Some(ZSTD_SKIPPABLE);
        if let Some((_, name)) = UNKNOWN.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(Unknown { name });
        }
        Ok(if start.starts_with(GZIP) {
            Self::Gzip
        } else if start.starts_with(ZSTD) || is_skippable {
            Self::Zstd
        } else if start.starts_with(XZ) {
            Self::Xz
        } else if start.starts_with(BZIP2) && matches!(start.get(4), Some(0x31 | 0x17)) {
            Self::Bzip2
        } else {
            Self::None
        })
    }

    /// Returns the bytes as they were before, of all parts that were compressed one after the other.
    pub(crate) fn reader<'a>(self, packed: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::None => Box::new(packed),
            Self::Bzip2 | Self::Gzip | Self::Xz | Self::Zstd => self.buffered(BufReader::new(packed)),
        }
    }

    /// As [`Self::reader`]; what is not read of `packed` is behind the end of the compressed bytes.
    pub(crate) fn buffered<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        let name = match self {
            Self::None => return Box::new(packed),
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        };
        let (packed, has_failed) = Watched::new(packed);
        Box::new(Worded { decoder: self.decoder(packed), name, has_failed })
    }

    fn decoder<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::None => Box::new(packed),
            Self::Bzip2 => {
                Box::new(Parts::new(packed, |part| Ok(BzDecoder::new(part)), BzDecoder::into_inner))
            }
            Self::Gzip => {
                Box::new(Parts::new(packed, |part| Ok(GzDecoder::new(part)), GzDecoder::into_inner))
            }
            Self::Xz => Box::new(Parts::new(packed, xz, XzDecoder::into_inner)),
            Self::Zstd => Box::new(ZstdFrames::new(packed)),
        }
    }
}

/// Unpacks one stream of xz.
pub(crate) fn xz<R: BufRead>(packed: R) -> io::Result<XzDecoder<R>> {
    Ok(XzDecoder::new_stream(packed, Stream::new_stream_decoder(XZ_MEMORY_MAX, 0)?))
}

/// Unpacks the form that xz had before.
pub(crate) fn lzma<R: BufRead>(packed: R) -> io::Result<XzDecoder<R>> {
    Ok(XzDecoder::new_stream(packed, Stream::new_lzma_decoder(XZ_MEMORY_MAX)?))
}

/// Parts that were compressed one after the other. Zeros between and behind them are what fills a block of a tape or a
/// disk, which all these tools pass over.
struct Parts<R, D> {
    at: At<R, D>,
    begin: fn(R) -> io::Result<D>,
    end: fn(D) -> R,
}

enum At<R, D> {
    Start(R),
    Within(D),
    Between(R),
    /// A part could not begin.
    Nowhere,
}

impl<R: BufRead, D: Read> Parts<R, D> {
    fn new(packed: R, begin: fn(R) -> io::Result<D>, end: fn(D) -> R) -> Self {
        Self { at: At::Start(packed), begin, end }
    }
}

impl<R: BufRead, D: Read> Read for Parts<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let packed = match std::mem::replace(&mut self.at, At::Nowhere) {
                At::Nowhere => return Ok(0),
                At::Within(mut decoder) => {
                    let count = decoder.read(buffer);
                    if matches!(count, Ok(0)) && !buffer.is_empty() {
                        self.at = At::Between((self.end)(decoder));
                        continue;
                    }
                    self.at = At::Within(decoder);
                    return count;
                }
                At::Start(packed) => packed,
                At::Between(mut packed) => {
                    skip_zeros(&mut packed)?;
                    packed
                }
            };
            let mut packed = packed;
            if packed.fill_buf()?.is_empty() {
                self.at = At::Between(packed);
                return Ok(0);
            }
            self.at = At::Within((self.begin)(packed)?);
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
        for (tool, name) in
            [("gzip", "a.ko.gz"), ("bzip2", "a.ko.bz2"), ("xz", "a.ko.xz"), ("zstd", "a.ko.zst")]
        {
            let packed = pack(tool, &["-c"], &text);
            assert!(packed.len() < text.len());
            assert!(unpack(name, &packed).unwrap() == text, "{tool}");
            // Files that were compressed in parts, and put together.
            let twice = [packed.clone(), packed.clone()].concat();
            assert!(unpack(name, &twice).unwrap() == [text.clone(), text.clone()].concat(), "{tool}");
            let filled = [&packed[..], &[0; 1027], &packed, &vec![0; 70_000]].concat();
            assert!(unpack(name, &filled).unwrap() == [text.clone(), text.clone()].concat(), "{tool}");
            assert!(unpack(name, &[&packed[..], b"junk"].concat()).is_err(), "{tool}");
            assert_eq!(
                Compression::of_start(&packed[..6]),
                Ok(Compression::of_name(Path::new(name))),
                "{tool}"
            );
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
        for (tool, name) in [("gzip", "a.gz"), ("bzip2", "a.bz2"), ("xz", "a.xz"), ("zstd", "a.zst")] {
            let packed = pack(tool, &["-c"], &text());
            for length in [1, 4, 10, packed.len() / 2, packed.len() - 5] {
                assert!(unpack(name, &packed[..length]).is_err(), "{tool} {length}");
            }
        }
    }

    #[test]
    fn a_stream_gets_no_more_memory_than_any_honest_one_needs() {
        let text = text();
        let best = pack("xz", &["-9", "-c"], &text);
        assert!(unpack("a.xz", &best).unwrap() == text);
        let huge = pack("xz", &["--lzma2=dict=1GiB", "-c"], b"x");
        assert!(unpack("a.xz", &huge).is_err());
        let huge = pack("xz", &["--format=lzma", "--lzma1=dict=1GiB", "-c"], b"x");
        assert!(lzma(&huge[..]).and_then(|mut decoder| decoder.read_to_end(&mut Vec::new())).is_err());
    }

    #[test]
    fn what_is_not_read_here_has_a_name() {
        let name = |start: &[u8]| Compression::of_start(start).map_err(|unknown| unknown.name);
        assert_eq!(name(b"\x04\x22\x4d\x18xx"), Err("lz4"));
        assert_eq!(name(b"\x1f\x9d\x90"), Err("compress"));
        assert_eq!(name(b"BZhelper"), Ok(Compression::None), "a tar whose first name begins like that");
        assert_eq!(name(b""), Ok(Compression::None));
    }

    fn told(compression: Compression, packed: &[u8]) -> String {
        let error = compression.reader(packed).read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.get_ref().and_then(std::error::Error::source).is_none());
        error.to_string()
    }

    #[test]
    fn a_decoder_says_in_plain_words_what_is_wrong() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
        for (compression, name) in [
            (Compression::Gzip, "gzip"),
            (Compression::Bzip2, "bzip2"),
            (Compression::Xz, "xz"),
            (Compression::Zstd, "zstd"),
        ] {
            let packed = pack(name, &["-c"], &text);
            let mut bad = packed.clone();
            let middle = bad.len() / 2;
            bad[middle..].fill(0xff);
            assert_eq!(told(compression, &bad), format!("its {name} data is damaged"));
            let cut = told(compression, &packed[..middle]);
            assert_eq!(cut, format!("its {name} data is incomplete: it ends too early"));
        }
        let huge = pack("xz", &["--lzma2=dict=1GiB", "-c"], b"x");
        assert_eq!(told(Compression::Xz, &huge), "its xz data needs more memory to unpack than is allowed");
    }

    #[test]
    fn an_error_of_the_reader_below_stays_what_it_is() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is on fire"))
            }
        }
        let packed = pack("gzip", &["-c"], &vec![7; 100_000]);
        let mut reader = Compression::Gzip.reader(packed[..20].chain(Broken));
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "the disk is on fire");
    }
}
