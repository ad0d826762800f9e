//! Where something happens: as the kernel's event queue and our timers name it.

use super::slab::Id;

const KIND_SHIFT: u32 = 56;
const GENERATION_SHIFT: u32 = 24;
const SLOT_MASK: u64 = (1 << GENERATION_SHIFT) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Link,
    Machine,
    HostAddresses,
    Tcp(Id),
    Datagrams(Id),
    Listener(Id),
    Control(Id),
    ControlDoor,
    /// The resolver.
    Names,
    /// A socket to a server of names.
    Question(Id),
    /// A connection of the guest to its name server.
    NameStream(Id),
}

impl Source {
    pub(crate) fn to_number(self) -> u64 {
        let (kind, id) = match self {
            Self::Link => (0, None),
            Self::Machine => (1, None),
            Self::HostAddresses => (2, None),
            Self::Tcp(id) => (3, Some(id)),
            Self::Datagrams(id) => (4, Some(id)),
            Self::Listener(id) => (5, Some(id)),
            Self::Control(id) => (6, Some(id)),
            Self::ControlDoor => (7, None),
            Self::Names => (8, None),
            Self::Question(id) => (9, Some(id)),
            Self::NameStream(id) => (10, Some(id)),
        };
        let id =
            id.map_or(0, |id| u64::from(id.generation) << GENERATION_SHIFT | u64::from(id.slot) & SLOT_MASK);
        kind << KIND_SHIFT | id
    }

    pub(crate) fn of_number(number: u64) -> Option<Self> {
        let id = Id {
            slot: u32::try_from(number & SLOT_MASK).ok()?,
            generation: u32::try_from(number >> GENERATION_SHIFT & u64::from(u32::MAX)).ok()?,
        };
        match number >> KIND_SHIFT {
            0 => Some(Self::Link),
            1 => Some(Self::Machine),
            2 => Some(Self::HostAddresses),
            3 => Some(Self::Tcp(id)),
            4 => Some(Self::Datagrams(id)),
            5 => Some(Self::Listener(id)),
            6 => Some(Self::Control(id)),
            7 => Some(Self::ControlDoor),
            8 => Some(Self::Names),
            9 => Some(Self::Question(id)),
            10 => Some(Self::NameStream(id)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_by_its_number() {
        let id = Id { slot: 0x00ab_cdef, generation: 0xffff_fff1 };
        for source in [
            Source::Link,
            Source::Machine,
            Source::HostAddresses,
            Source::Tcp(id),
            Source::Datagrams(id),
            Source::Listener(id),
            Source::Control(id),
            Source::ControlDoor,
            Source::Names,
            Source::Question(id),
            Source::NameStream(id),
        ] {
            assert_eq!(Source::of_number(source.to_number()), Some(source));
        }
        assert_eq!(Source::of_number(u64::MAX), None);
    }
}
