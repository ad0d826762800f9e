//! How a machine's attachment stands on the command line of its network's process.

use std::ffi::OsStr;

use banger_model::NetworkAttachment;

/// What this program's command line begins with when it plays the network of a machine. Behind it stand how the machine is
/// attached, the number of the socket at which the network listens for the daemon, and the machine's state directory, by which the process is known.
pub(crate) const ARGUMENT: &str = "machine-network";

const STREAM: &str = "stream";
const TAP: &str = "tap";

/// Returns an attachment's word on the command line.
pub(crate) fn word(attachment: NetworkAttachment) -> &'static str {
    match attachment {
        NetworkAttachment::Stream => STREAM,
        NetworkAttachment::Tap => TAP,
    }
}

/// Reads the word; `None` when it is not a word of an attachment.
pub(crate) fn attachment_of(word: &OsStr) -> Option<NetworkAttachment> {
    match word.to_str()? {
        STREAM => Some(NetworkAttachment::Stream),
        TAP => Some(NetworkAttachment::Tap),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_is_known_by_its_word() {
        for attachment in [NetworkAttachment::Stream, NetworkAttachment::Tap] {
            assert_eq!(attachment_of(OsStr::new(word(attachment))), Some(attachment));
        }
        assert_eq!(attachment_of(OsStr::new("")), None);
    }
}
