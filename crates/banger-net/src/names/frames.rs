//! Messages in a stream: each stands behind its length in two bytes (RFC 7766).

/// Collects the messages of one direction of a stream. It holds at most one message, which has at most 64 KiB.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    pending: Vec<u8>,
}

impl Frames {
    /// Takes what was read from the stream and returns the messages that are complete.
    #[must_use]
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let missing = match self.pending.first_chunk::<2>() {
                Some(length) => usize::from(u16::from_be_bytes(*length)) + 2 - self.pending.len(),
                None => 2 - self.pending.len(),
            };
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.pending.extend_from_slice(taken);
            bytes = rest;
            let length =
                self.pending.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)));
            if length.is_some_and(|length| self.pending.len() == length + 2) {
                messages.push(std::mem::take(&mut self.pending).split_off(2));
            }
        }
        messages
    }
}

/// Writes a message as it stands in a stream; `None`: it is longer than a stream can carry.
#[must_use]
pub fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?;
    Some([&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_arrive_whole_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
            cuts in proptest::collection::vec(1_usize..50, 1..20),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message).unwrap()).collect();
            let (mut frames, mut arrived, mut rest, mut cut) = (Frames::default(), Vec::new(), stream.as_slice(), 0);
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts[cut % cuts.len()].min(rest.len()));
                arrived.extend(frames.push(now));
                (rest, cut) = (later, cut + 1);
            }
            prop_assert_eq!(arrived, messages);
            prop_assert!(frames.pending.is_empty());
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_not_written() {
        assert!(framed(&vec![0; 65_535]).is_some() && framed(&vec![0; 65_536]).is_none());
    }
}
