//! Waits for the kernel, and does what it says.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::control::Control;
use super::link::{self, Attached, Inlet, Next};
use super::shared::Shared;
use super::source::Source;
use super::switch::Switch;
use crate::names::HostNaming;
use crate::reach::Reach;

/// Frames that are read before somebody else has a turn.
const FRAMES_AT_ONCE: usize = 64;
const EVENTS_AT_ONCE: usize = 256;

/// Connections that wait for memory look again after so long.
const MEMORY_PAUSE: Duration = Duration::from_millis(20);

/// What the process of a machine's network is made of.
pub(crate) struct Parts {
    pub(crate) device: Attached,
    /// The machine's process. Its end is the end of a network whose device does not tell.
    pub(crate) machine: Option<OwnedFd>,
    pub(crate) reach: Reach,
    /// Tells how the host resolves names, when that may have changed.
    pub(crate) naming: Box<dyn FnMut() -> Option<HostNaming>>,
    /// Listens for the daemon.
    pub(crate) control: OwnedFd,
    /// Connections that the process may have descriptors for.
    pub(crate) descriptors_max: usize,
}

struct EventLoop {
    switch: Switch,
    inlet: Inlet,
    machine: Option<OwnedFd>,
    control: Control,
    /// Frames may be there.
    has_frames: bool,
    /// The guest's device is left alone until then.
    pause: Option<Instant>,
}

/// Carries the machine's network until the machine has ended.
///
/// # Errors
/// When the device fails, or the kernel has no memory.
pub(crate) fn run(parts: Parts) -> io::Result<()> {
    let Parts { device, machine, reach, naming, control, descriptors_max } = parts;
    let (inlet, outlet) = link::open(device)?;
    let shared = Shared::new(outlet)?;
    shared.watch_reading(reach.host(), Source::HostAddresses)?;
    if let Some(machine) = &machine {
        shared.watch_reading(machine, Source::Machine)?;
    }
    let control = Control::new(control, &shared)?;
    let switch = Switch::new(shared, reach, naming, descriptors_max);
    EventLoop { switch, inlet, machine, control, has_frames: true, pause: None }.run()
}

impl EventLoop {
    fn run(mut self) -> io::Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            events.clear();
            let wait = self.wait().map(|wait| Timespec::try_from(wait).unwrap_or_default());
            match epoll::wait(self.switch.shared.epoll(), spare_capacity(&mut events), wait.as_ref()) {
                Ok(_count) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            self.switch.shared.now = Instant::now();
            for event in events.iter().copied() {
                let (data, flags) = (event.data, event.flags);
                let Some(source) = Source::of_number(data.u64()) else { continue };
                if self.take(source, flags)? {
                    return Ok(());
                }
            }
            self.look_at_timers();
            if self.read_frames()? {
                return Ok(());
            }
            self.switch.finish()?;
        }
    }

    /// Returns how long there is nothing to do.
    fn wait(&self) -> Option<Duration> {
        let now = self.switch.shared.now;
        let pause = self.pause.map(|until| until.saturating_duration_since(now));
        if self.has_frames && pause.is_none() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let memory = self.switch.is_short_of_memory().then_some(MEMORY_PAUSE);
        [self.switch.shared.timers.wait(now), pause, memory].into_iter().flatten().min()
    }

    /// `true`: the machine has ended.
    fn take(&mut self, source: Source, flags: epoll::EventFlags) -> io::Result<bool> {
        match source {
            Source::Link => {
                self.has_frames |= flags.intersects(
                    epoll::EventFlags::IN
                        | epoll::EventFlags::HUP
                        | epoll::EventFlags::ERR
                        | epoll::EventFlags::RDHUP,
                );
                if flags.contains(epoll::EventFlags::OUT) {
                    self.switch.device_is_free()?;
                }
            }
            Source::Machine => return Ok(self.machine.is_some()),
            Source::HostAddresses => self.switch.judge_again(),
            Source::Tcp(id) => {
                let ended = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                self.switch.flow_changed(id, flags.intersects(ended));
            }
            Source::Datagrams(id) => self.switch.conversation_changed(id),
            Source::Listener(id) => self.switch.forward_changed(id),
            Source::ControlDoor => self.control.accept(&self.switch.shared),
            Source::Control(id) => self.control.serve(id, &mut self.switch),
            Source::Question(id) => self.switch.question_changed(id),
            Source::NameStream(id) => self.switch.name_stream_changed(id),
            Source::Names => {}
        }
        Ok(false)
    }

    fn look_at_timers(&mut self) {
        let now = self.switch.shared.now;
        while let Some(source) = self.switch.shared.timers.next_due(now) {
            match source {
                Source::Tcp(id) => self.switch.look_at_flow(id),
                Source::Datagrams(id) => self.switch.look_at_conversation(id),
                Source::Names => self.switch.look_at_names(),
                Source::NameStream(id) => self.switch.look_at_name_stream(id),
                Source::Link
                | Source::Machine
                | Source::HostAddresses
                | Source::Listener(_)
                | Source::Control(_)
                | Source::ControlDoor
                | Source::Question(_) => {}
            }
        }
    }

    /// `true`: the machine has ended.
    fn read_frames(&mut self) -> io::Result<bool> {
        if self.pause.is_some_and(|until| until > self.switch.shared.now) {
            return Ok(false);
        }
        self.pause = None;
        if !self.has_frames {
            return Ok(false);
        }
        for _ in 0..FRAMES_AT_ONCE {
            match self.inlet.next()? {
                Next::Frame(frame) => self.pause = self.switch.take(frame),
                Next::Empty => {
                    self.has_frames = false;
                    break;
                }
                Next::Ended => return Ok(true),
            }
            if self.pause.is_some() {
                break;
            }
        }
        Ok(false)
    }
}
