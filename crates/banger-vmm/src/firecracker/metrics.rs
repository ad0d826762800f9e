//! What Firecracker counts. It writes one line of JSON when it is asked to, and every minute; each line holds what was
//! added since the line before. So all lines are added up, and what was added up is noted beside the file together with
//! the place up to which it was read. Firecracker writes at a place of its own and never at another's end, so that part
//! can be freed without moving anything: the file keeps its length and takes no room.
//! Source: `docs/metrics.md` of Firecracker 1.16.1.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use crate::contract::{DriveTraffic, NetworkTraffic};
use crate::machine::Traffic;

/// How much is read before it is freed.
const FREE_BYTES: u64 = 64 * 1024;

/// How much is read at once: many times a line.
const PART_BYTES: usize = 1024 * 1024;

/// All that was counted up to a place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    /// Up to here it is added up.
    read_bytes: u64,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    drive_read_bytes: u64,
    drive_written_bytes: u64,
    drive_reads: u64,
    drive_writes: u64,
    network_received_bytes: u64,
    network_sent_bytes: u64,
    network_received_packets: u64,
    network_sent_packets: u64,
}

/// A line, as far as it is used. Older versions lack what newer ones have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    block: BlockLine,
    net: NetLine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BlockLine {
    read_bytes: u64,
    write_bytes: u64,
    read_count: u64,
    write_count: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NetLine {
    #[serde(rename = "rx_bytes_count")]
    received_bytes: u64,
    #[serde(rename = "tx_bytes_count")]
    sent_bytes: u64,
    #[serde(rename = "rx_packets_count")]
    received_packets: u64,
    #[serde(rename = "tx_packets_count")]
    sent_packets: u64,
}

/// Reads what was written since the last time and returns all that was counted.
///
/// # Errors
/// When the file cannot be read or the sum cannot be written.
pub(super) fn read(metrics: &Path, has_network: bool) -> io::Result<Traffic> {
    let sum_file = sum_file(metrics);
    let mut sum = load(&sum_file);
    let before = sum;
    while add_new_lines(metrics, &mut sum)? > 0 {}
    if sum != before {
        let text = serde_json::to_vec(&sum)?;
        banger_sys::files::write_atomic(&sum_file, &text, 0o600).map_err(io::Error::other)?;
        free(metrics, sum.read_bytes);
    }
    Ok(sum.counts.traffic(has_network))
}

/// Where the sum is noted.
pub(super) fn sum_file(metrics: &Path) -> PathBuf {
    metrics.with_extension("sum")
}

fn load(sum_file: &Path) -> Sum {
    // One that is missing or cannot be read begins anew with what the file still has.
    std::fs::read(sum_file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Adds up the next whole lines and returns how many bytes they have.
fn add_new_lines(metrics: &Path, sum: &mut Sum) -> io::Result<usize> {
    let mut file = File::open(metrics)?;
    file.seek(SeekFrom::Start(sum.read_bytes))?;
    let mut bytes = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
        // Should the sum be lost, what was freed reads as zeros. A line that makes no sense counts nothing.
        let begin = line.iter().position(|byte| *byte != 0).unwrap_or_default();
        if let Ok(line) = serde_json::from_slice::<Line>(line.get(begin..).unwrap_or_default()) {
            sum.counts.add(&line);
        }
    }
    sum.read_bytes += whole as u64;
    Ok(whole)
}

/// Gives back the room of what was read. A file system that cannot keeps it.
fn free(metrics: &Path, read_bytes: u64) {
    let whole = read_bytes / FREE_BYTES * FREE_BYTES;
    if whole > 0
        && let Ok(file) = File::options().write(true).open(metrics)
    {
        let _ = fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, whole);
    }
}

impl Counts {
    fn add(&mut self, line: &Line) {
        for (total, more) in [
            (&mut self.drive_read_bytes, line.block.read_bytes),
            (&mut self.drive_written_bytes, line.block.write_bytes),
            (&mut self.drive_reads, line.block.read_count),
            (&mut self.drive_writes, line.block.write_count),
            (&mut self.network_received_bytes, line.net.received_bytes),
            (&mut self.network_sent_bytes, line.net.sent_bytes),
            (&mut self.network_received_packets, line.net.received_packets),
            (&mut self.network_sent_packets, line.net.sent_packets),
        ] {
            *total = total.saturating_add(more);
        }
    }

    fn traffic(self, has_network: bool) -> Traffic {
        let drives = DriveTraffic {
            read_bytes: self.drive_read_bytes,
            written_bytes: self.drive_written_bytes,
            reads: self.drive_reads,
            writes: self.drive_writes,
        };
        let network = NetworkTraffic {
            received_bytes: self.network_received_bytes,
            sent_bytes: self.network_sent_bytes,
            received_packets: self.network_received_packets,
            sent_packets: self.network_sent_packets,
        };
        Traffic { drives: Some(drives), network: has_network.then_some(network) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    fn line(bytes: u64) -> String {
        format!(
            "{{\"utc_timestamp_ms\":1,\"block\":{{\"read_bytes\":{bytes},\"read_count\":1}},\
             \"net\":{{\"rx_bytes_count\":{bytes}}},\"odd\":[]}}\n"
        )
    }

    fn read_bytes(path: &Path) -> u64 {
        read(path, true).unwrap().drives.unwrap().read_bytes
    }

    #[test]
    fn lines_are_added_up_once_whoever_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics");
        let mut file = File::create(&path).unwrap();
        assert_eq!(read(&path, false).unwrap(), Counts::default().traffic(false));
        file.write_all(line(10).as_bytes()).unwrap();
        assert_eq!(read_bytes(&path), 10);
        file.write_all(line(5).as_bytes()).unwrap();
        let long = line(100);
        let (half, rest) = long.split_at(20);
        file.write_all(half.as_bytes()).unwrap();
        assert_eq!(read_bytes(&path), 15, "half a line waits");
        file.write_all(rest.as_bytes()).unwrap();
        file.write_all(b"garbage\n").unwrap();
        assert_eq!(read_bytes(&path), 115);
        assert_eq!(read(&path, true).unwrap().network.unwrap().received_bytes, 115);
    }

    #[test]
    fn what_was_read_takes_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics");
        let mut file = File::create(&path).unwrap();
        let mut expected = 0;
        for _ in 0..20 {
            for _ in 0..500 {
                file.write_all(line(1).as_bytes()).unwrap();
            }
            expected += 500;
            assert_eq!(read_bytes(&path), expected);
        }
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(
            metadata.len() > 10 * FREE_BYTES && metadata.blocks() * 512 <= 3 * FREE_BYTES,
            "{metadata:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

        #[test]
        fn no_content_makes_it_fail(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("metrics");
            std::fs::write(&path, &content).unwrap();
            read(&path, true).unwrap();
            read(&path, true).unwrap();
        }
    }
}
