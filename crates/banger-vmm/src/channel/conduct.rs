//! What a guest may do in a session, and what it costs us. The multiplexer keeps whatever it is sent and goes on after
//! every offence, so a guest is judged before its bytes get there; an offence ends the session.
//!
//! A guest answers: it opens no stream, sends no more than it was granted, and says little without being asked. What its
//! streams hold and their callers have not read is counted over all of them.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::frames::{FIN, Header, Kind, RST, SYN};

/// What the callers of one guest may leave unread before nothing more is taken from it.
pub(super) const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the multiplexer needs to keep one frame, beside its bytes.
const FRAME_COST: usize = 64;

/// Longest frame: all that a stream may have under way.
const FRAME_BYTES_MAX: u32 = yamux::DEFAULT_CREDIT;

/// What may still come for streams that have ended: the guest hears of an end later than we do.
const LATE_BYTES_FIRST: usize = 4 * 1024 * 1024;
const LATE_BYTES_PER_STREAM: usize = 2 * yamux::DEFAULT_CREDIT as usize;
const LATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Frames without a body: in one go, per second, and for each frame that the host sends.
const EMPTY_FRAMES_MAX: f64 = 2048.0;
const EMPTY_FRAMES_PER_SECOND: f64 = 256.0;
const EMPTY_FRAMES_PER_SENT: f64 = 2.0;

/// What a guest did that no agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Offence {
    #[error("the guest sent an invalid frame")]
    NoFrame,
    #[error("the guest opened a stream")]
    OpenedStream,
    #[error("the guest sent a frame for a stream that was never opened")]
    NeverOpened,
    #[error("the guest sent more data than it was granted")]
    BeyondWindow,
    #[error("the guest sent too much for streams that have ended")]
    TooLate,
    #[error("the guest sent too many empty frames")]
    Chatter,
}

#[derive(Debug)]
struct Stream {
    /// Bytes that the guest may still send.
    credit: u32,
    /// Lengths of the frames that the caller has not read to their end.
    held: VecDeque<u32>,
}

impl Stream {
    fn cost(&self) -> usize {
        self.held.iter().map(|length| cost(*length)).sum()
    }
}

/// The record of one session.
#[derive(Debug)]
pub(super) struct Conduct {
    streams: HashMap<u32, Stream>,
    highest: u32,
    held_bytes: usize,
    late_bytes: usize,
    empty_frames: f64,
    refilled: Instant,
    /// Who waits until callers have read something.
    waiting: Option<Waker>,
}

impl Conduct {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            streams: HashMap::new(),
            highest: 0,
            held_bytes: 0,
            late_bytes: LATE_BYTES_FIRST,
            empty_frames: EMPTY_FRAMES_MAX,
            refilled: now,
            waiting: None,
        }
    }

    /// The host has opened a stream.
    pub(super) fn opened(&mut self, stream: u32) {
        self.highest = self.highest.max(stream);
        self.streams.insert(stream, Stream { credit: yamux::DEFAULT_CREDIT, held: VecDeque::new() });
    }

    /// The caller of a stream has gone.
    pub(super) fn closed(&mut self, stream: u32) {
        let Some(closed) = self.streams.remove(&stream) else { return };
        self.held_bytes = self.held_bytes.saturating_sub(closed.cost());
        self.late_bytes = (self.late_bytes + LATE_BYTES_PER_STREAM).min(LATE_BYTES_MAX);
        self.wake();
    }

    /// The caller of a stream has read bytes.
    pub(super) fn read(&mut self, stream: u32, mut count: usize) {
        let Some(found) = self.streams.get_mut(&stream) else { return };
        while let Some(first) = found.held.front_mut() {
            let taken = count.min(usize::try_from(*first).unwrap_or(usize::MAX));
            count -= taken;
            self.held_bytes = self.held_bytes.saturating_sub(taken);
            *first -= u32::try_from(taken).unwrap_or(*first);
            if *first > 0 {
                break;
            }
            found.held.pop_front();
            self.held_bytes = self.held_bytes.saturating_sub(FRAME_COST);
        }
        self.wake();
    }

    /// The host sends a frame.
    pub(super) fn sent(&mut self, header: Header) {
        // What only answers the guest earns it nothing.
        if matches!(header.kind, Kind::Data(_) | Kind::WindowUpdate(_)) {
            self.empty_frames = (self.empty_frames + EMPTY_FRAMES_PER_SENT).min(EMPTY_FRAMES_MAX);
        }
        if let (Kind::WindowUpdate(credit), Some(stream)) =
            (header.kind, self.streams.get_mut(&header.stream))
        {
            stream.credit = stream.credit.saturating_add(credit);
        }
    }

    /// The guest sends a frame.
    pub(super) fn received(&mut self, header: Header, now: Instant) -> Result<(), Offence> {
        match header.kind {
            Kind::Unknown => Err(Offence::NoFrame),
            Kind::GoAway => Ok(()),
            Kind::Ping => self.spend_empty_frame(now),
            Kind::Data(_) | Kind::WindowUpdate(_) if header.has(SYN) => Err(Offence::OpenedStream),
            Kind::Data(_) | Kind::WindowUpdate(_)
                if header.stream.is_multiple_of(2) || header.stream > self.highest =>
            {
                Err(Offence::NeverOpened)
            }
            Kind::Data(0) | Kind::WindowUpdate(_) => self.spend_empty_frame(now),
            Kind::Data(length) => self.received_data(header, length),
        }
    }

    fn received_data(&mut self, header: Header, length: u32) -> Result<(), Offence> {
        if length > FRAME_BYTES_MAX {
            return Err(Offence::BeyondWindow);
        }
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            self.late_bytes = self.late_bytes.checked_sub(cost(length)).ok_or(Offence::TooLate)?;
            return Ok(());
        };
        stream.credit = stream.credit.checked_sub(length).ok_or(Offence::BeyondWindow)?;
        if header.has(FIN | RST) {
            stream.credit = 0;
        }
        // The multiplexer throws away what comes with a reset.
        if !header.has(RST) {
            stream.held.push_back(length);
            self.held_bytes += cost(length);
        }
        Ok(())
    }

    fn spend_empty_frame(&mut self, now: Instant) -> Result<(), Offence> {
        let passed = now.saturating_duration_since(self.refilled).min(Duration::from_secs(60));
        self.refilled = now;
        let refilled = self.empty_frames + passed.as_secs_f64() * EMPTY_FRAMES_PER_SECOND;
        self.empty_frames = refilled.min(EMPTY_FRAMES_MAX) - 1.0;
        if self.empty_frames < 0.0 { Err(Offence::Chatter) } else { Ok(()) }
    }

    /// Tells whether callers have left so much unread that nothing more may be taken.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes >= HELD_BYTES_MAX
    }

    /// Wakes when callers have read something.
    pub(super) fn wake_when_read(&mut self, waker: &Waker) {
        self.waiting = Some(waker.clone());
    }

    /// Bytes that the streams hold, with what it takes to keep them.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn wake(&mut self) {
        if !self.is_full()
            && let Some(waker) = self.waiting.take()
        {
            waker.wake();
        }
    }
}

fn cost(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).saturating_add(FRAME_COST)
}

#[cfg(test)]
mod tests {
    use super::super::frames;
    use super::*;

    const ACK: u16 = 2;

    fn conduct() -> (Conduct, Instant) {
        let now = Instant::now();
        let mut conduct = Conduct::new(now);
        conduct.opened(1);
        conduct.opened(3);
        (conduct, now)
    }

    fn frame(kind: Kind, flags: u16, stream: u32) -> Header {
        Header { kind, flags, stream }
    }

    #[test]
    fn what_an_agent_does_is_no_offence() {
        let (mut conduct, now) = conduct();
        for header in [
            frame(Kind::WindowUpdate(0), ACK, 1),
            frame(Kind::Data(256 * 1024), ACK, 1),
            frame(Kind::Data(0), frames::FIN, 1),
            frame(Kind::Data(1), frames::FIN, 3),
            frame(Kind::Ping, ACK, 0),
            frame(Kind::Ping, SYN, 0),
            frame(Kind::GoAway, 0, 0),
        ] {
            assert_eq!(conduct.received(header, now), Ok(()), "{header:?}");
        }
    }

    #[test]
    fn every_lie_is_an_offence() {
        for (header, offence) in [
            (frame(Kind::Unknown, 0, 0), Offence::NoFrame),
            (frame(Kind::Data(1), SYN, 2), Offence::OpenedStream),
            (frame(Kind::Data(1), SYN, 1), Offence::OpenedStream),
            (frame(Kind::WindowUpdate(0), SYN | FIN, 2), Offence::OpenedStream),
            (frame(Kind::Data(1), 0, 2), Offence::NeverOpened),
            (frame(Kind::Data(0), RST, 5), Offence::NeverOpened),
            (frame(Kind::WindowUpdate(u32::MAX), 0, 0), Offence::NeverOpened),
            (frame(Kind::Data(u32::MAX), 0, 1), Offence::BeyondWindow),
            (frame(Kind::Data(256 * 1024 + 1), 0, 1), Offence::BeyondWindow),
        ] {
            let (mut conduct, now) = conduct();
            assert_eq!(conduct.received(header, now), Err(offence), "{header:?}");
        }
    }

    #[test]
    fn a_stream_has_what_it_was_granted_and_no_more() {
        let (mut conduct, now) = conduct();
        let data = frame(Kind::Data(200_000), 0, 1);
        assert_eq!(conduct.received(data, now), Ok(()));
        conduct.read(1, 200_000);
        conduct.sent(frame(Kind::WindowUpdate(200_000), 0, 1));
        assert_eq!(conduct.received(data, now), Ok(()));
        assert_eq!(conduct.received(data, now), Err(Offence::BeyondWindow));
    }

    #[test]
    fn nothing_follows_the_end_of_a_stream() {
        let (mut conduct, now) = conduct();
        assert_eq!(conduct.received(frame(Kind::Data(1), FIN, 1), now), Ok(()));
        assert_eq!(conduct.received(frame(Kind::Data(1), 0, 1), now), Err(Offence::BeyondWindow));
    }

    #[test]
    fn frames_without_content_are_counted_and_those_that_answer_ours_are_not() {
        for kind in [Kind::Ping, Kind::WindowUpdate(u32::MAX), Kind::Data(0)] {
            let stream = u32::from(kind != Kind::Ping);
            let (mut conduct, now) = conduct();
            let taken =
                (0..100_000).take_while(|_| conduct.received(frame(kind, 0, stream), now).is_ok()).count();
            assert_eq!(taken, 2048, "{kind:?}");
            for _ in 0..10 {
                conduct.sent(frame(Kind::Ping, ACK, 0));
                conduct.sent(frame(Kind::GoAway, 0, 0));
            }
            assert!(conduct.received(frame(kind, 0, stream), now).is_err(), "{kind:?}");
            for _ in 0..100_000 {
                conduct.sent(frame(Kind::Data(1), 0, 1));
                conduct.sent(frame(Kind::Data(1), 0, 1));
                assert_eq!(conduct.received(frame(kind, 0, stream), now), Ok(()), "{kind:?}");
            }
        }
    }

    #[test]
    fn what_comes_late_has_a_limit() {
        let (mut conduct, now) = conduct();
        conduct.closed(1);
        let taken = (0..10_000)
            .take_while(|_| conduct.received(frame(Kind::Data(200_000), 0, 1), now).is_ok())
            .count();
        assert_eq!(taken, 23);
    }

    #[test]
    fn what_is_held_is_counted_with_its_frames_and_given_back_by_reading_and_closing() {
        let (mut conduct, now) = conduct();
        for _ in 0..1000 {
            conduct.received(frame(Kind::Data(1), 0, 1), now).unwrap();
        }
        conduct.received(frame(Kind::Data(100), 0, 3), now).unwrap();
        assert_eq!(conduct.held_bytes(), 1000 * 65 + 164);
        conduct.read(1, 999);
        conduct.read(3, 40);
        assert_eq!(conduct.held_bytes(), 65 + 124);
        conduct.closed(3);
        conduct.read(1, 1);
        assert_eq!(conduct.held_bytes(), 0);
        assert!(conduct.streams[&1].held.is_empty());
    }
}
