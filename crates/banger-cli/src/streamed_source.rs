//! Sources of images whose archive comes as a stream, which the daemon cannot open: standard input, and pipes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Prefixes of sources with a path; `-` in its place is standard input.
const PREFIXES: [&str; 3] = ["docker-archive:", "oci-archive:", "oci:"];
/// Other names of standard input.
const STANDARD_INPUTS: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Where an archive comes from that the daemon cannot open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    StandardInput,
    /// A pipe with a name: one of ours (`/dev/fd/63`), or of the file system.
    Pipe(PathBuf),
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => formatter.write_str("standard input"),
            Self::Pipe(path) => write!(formatter, "the pipe `{}`", path.display()),
        }
    }
}

/// A source whose archive comes as a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamedSource {
    pub(crate) from: Stream,
    pub(crate) prefix: &'static str,
    /// The source with `-` in the place of the stream's path.
    pub(crate) source: String,
}

impl StreamedSource {
    /// Returns it where the text is one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::where_pipes(text, |path| path.metadata().is_ok_and(|found| found.file_type().is_fifo()))
    }

    fn where_pipes(text: &str, is_pipe: impl Fn(&Path) -> bool) -> Option<Self> {
        let (prefix, rest) = split(text)?;
        let (path, name) = match rest.find(':') {
            Some(colon) => rest.split_at(colon),
            None => (rest, ""),
        };
        let from = match path {
            path if STANDARD_INPUTS.contains(&path) => Stream::StandardInput,
            path if is_pipe(Path::new(path)) => Stream::Pipe(path.into()),
            _ => return None,
        };
        Some(Self { from, prefix, source: format!("{prefix}-{name}") })
    }
}

/// Divides a source with a path into its prefix and the rest.
pub(crate) fn split(source: &str) -> Option<(&'static str, &str)> {
    PREFIXES.into_iter().find_map(|prefix| Some((prefix, source.strip_prefix(prefix)?)))
}

/// Opens a pipe. One of ours is not opened a second time, because that would wait for a writer that may have ended.
pub(crate) fn open_pipe(path: &Path) -> io::Result<File> {
    let ours = ["/dev/fd/", "/proc/self/fd/"]
        .into_iter()
        .find_map(|directory| path.to_str()?.strip_prefix(directory));
    if let Some(number) = ours.and_then(|number| number.parse().ok())
        && let Ok(us) = pidfd_open(getpid(), PidfdFlags::empty())
        && let Ok(descriptor) = pidfd_getfd(us, number, PidfdGetfdFlags::empty())
    {
        return Ok(descriptor.into());
    }
    // A pipe that nobody has opened for writing is waited for where a signal can end that.
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn stream(text: &str) -> Option<StreamedSource> {
        StreamedSource::where_pipes(text, |path| path == Path::new("/dev/fd/63"))
    }

    #[test]
    fn a_dash_in_the_place_of_a_path_is_standard_input_and_a_pipe_is_read_as_well() {
        for (text, from, source) in [
            ("docker-archive:-", "standard input", "docker-archive:-"),
            ("docker-archive:-:app:1", "standard input", "docker-archive:-:app:1"),
            ("oci-archive:/dev/stdin", "standard input", "oci-archive:-"),
            ("oci:-:v1", "standard input", "oci:-:v1"),
            ("docker-archive:/dev/fd/63", "the pipe `/dev/fd/63`", "docker-archive:-"),
            ("docker-archive:/dev/fd/63:app:1", "the pipe `/dev/fd/63`", "docker-archive:-:app:1"),
        ] {
            let streamed = stream(text).unwrap();
            assert_eq!(
                (streamed.from.to_string().as_str(), streamed.source.as_str()),
                (from, source),
                "{text}"
            );
        }
        for text in
            ["docker-archive:./-", "docker-archive:-.tar", "-", "docker://-", "alpine", "oci:/dev/fd/9"]
        {
            assert_eq!(stream(text), None, "{text}");
        }
    }

    #[test]
    fn a_pipe_of_ours_is_read_though_its_writer_has_ended() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"archive").unwrap();
        drop(writer);
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        assert_eq!(io::read_to_string(open_pipe(&path).unwrap()).unwrap(), "archive");
    }
}
