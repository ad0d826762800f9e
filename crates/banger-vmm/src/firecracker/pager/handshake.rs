//! Firecracker's first and only message: where it has put the guest's memory, and the descriptor that tells of it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::Deserialize;

const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A part of the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Region {
    /// Where Firecracker has put it.
    #[serde(rename = "base_host_virt_addr")]
    pub(super) address: u64,
    #[serde(rename = "size")]
    pub(super) bytes: u64,
    /// Where it is in the memory file.
    pub(super) offset: u64,
    /// Bytes of a page. Called so up to 2.0, whatever the name says.
    #[serde(rename = "page_size_kib")]
    pub(super) page_bytes: u64,
}

/// Receives the message.
pub(super) fn receive(stream: &UnixStream) -> io::Result<(Vec<Region>, OwnedFd)> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(&mut buffer)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let faults = message.drain().find_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let faults = faults.ok_or_else(|| bad("Firecracker sent no descriptor"))?;
    let regions = parse(buffer.get(..received.bytes).unwrap_or_default())
        .ok_or_else(|| bad("Firecracker's message is invalid"))?;
    Ok((regions, faults))
}

fn parse(message: &[u8]) -> Option<Vec<Region>> {
    let regions: Vec<Region> = serde_json::from_slice(message).ok()?;
    let makes_sense = |region: &Region| {
        region.page_bytes.is_power_of_two()
            && region.address.is_multiple_of(region.page_bytes)
            && region.bytes.is_multiple_of(region.page_bytes)
            && region.address.checked_add(region.bytes).is_some()
            && region.offset.checked_add(region.bytes).is_some()
    };
    regions.iter().all(makes_sense).then_some(regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firecrackers_message_is_read_and_nonsense_is_refused() {
        let message = |page: u64, bytes: u64| {
            format!(
                r#"[{{"base_host_virt_addr":8192,"size":{bytes},"offset":0,"page_size":{page},"page_size_kib":{page}}}]"#
            )
        };
        let region = Region { address: 8192, bytes: 16384, offset: 0, page_bytes: 4096 };
        assert_eq!(parse(message(4096, 16384).as_bytes()), Some(vec![region]));
        for bad in
            [message(0, 16384), message(3, 16384), message(4096, 100), message(4096, u64::MAX), "[".into()]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
