//! A line that loses frames and lets others overtake, in user space: between two taps, or between a tap and the process.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};

/// One frame of so many is lost, and one of so many waits until others have overtaken it.
const LOST: u32 = 97;
const LATE: u32 = 23;
/// How many overtake.
const OVERTAKING: usize = 3;

/// One direction.
struct Way {
    late: VecDeque<(usize, Vec<u8>)>,
    state: u32,
}

/// Carries frames both ways until one end is closed.
pub(crate) fn carry(one: &OwnedFd, other: &OwnedFd) {
    for end in [one, other] {
        rustix::io::ioctl_fionbio(end, true).unwrap();
    }
    let mut ways = [1, 2].map(|state| Way { late: VecDeque::new(), state });
    loop {
        let mut ends = [PollFd::new(one, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
        let has_late = ways.iter().any(|way| !way.late.is_empty());
        // A frame that nobody overtakes goes after a moment.
        let wait = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let ready = poll(&mut ends, has_late.then_some(&wait)).unwrap_or(0);
        for (way, (from, to)) in ways.iter_mut().zip([(one, other), (other, one)]) {
            if ready == 0 {
                way.let_go(to.as_fd(), usize::MAX);
            }
            if !way.pass(from.as_fd(), to.as_fd()) {
                return;
            }
        }
    }
}

impl Way {
    /// `false`: the line is closed.
    fn pass(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
        let mut buffer = vec![0; 70_000];
        for _ in 0..16 {
            match read(from, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.take(buffer[..count].to_vec(), to),
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_closed) => return false,
            }
        }
        true
    }

    fn take(&mut self, frame: Vec<u8>, to: BorrowedFd<'_>) {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let number = self.state >> 8;
        if number.is_multiple_of(LOST) {
            return;
        }
        if number % LATE == 1 {
            self.late.push_back((OVERTAKING, frame));
            return;
        }
        let _ = write(to, &frame);
        for (left, _) in &mut self.late {
            *left = left.saturating_sub(1);
        }
        self.let_go(to, 0);
    }

    /// Sends what at most so many others have yet to overtake.
    fn let_go(&mut self, to: BorrowedFd<'_>, limit: usize) {
        while self.late.front().is_some_and(|(left, _)| *left <= limit) {
            if let Some((_, frame)) = self.late.pop_front() {
                let _ = write(to, &frame);
            }
        }
    }
}
