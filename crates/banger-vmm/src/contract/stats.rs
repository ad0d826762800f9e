//! What a machine uses and has moved.

use std::time::Duration;

/// Figures of one machine, since its start. Traffic is seen from the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineStats {
    /// Processor time of the VMM's process: the guest's and the VMM's own.
    pub cpu_time: Duration,
    /// Memory of the VMM's process that is in the host's memory: what the guest has touched and the VMM's own.
    pub resident_bytes: u64,
    /// All drives together; `None` where the VMM does not count.
    pub drives: Option<DriveTraffic>,
    /// The network interface; `None` without one, or where the VMM does not count.
    pub network: Option<NetworkTraffic>,
}

/// What the guest did with its drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriveTraffic {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// What went over the guest's interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkTraffic {
    /// Bytes that came to the guest.
    pub received_bytes: u64,
    /// Bytes that the guest sent.
    pub sent_bytes: u64,
    /// Packets that came to the guest.
    pub received_packets: u64,
    /// Packets that the guest sent.
    pub sent_packets: u64,
}
