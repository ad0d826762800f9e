//! The memory of a VMM, separated from that of its guest. Source: `proc_pid_smaps(5)`.

/// Memory of a VMM's process in KiB. Pages that several processes share count proportionally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineMemory {
    /// Memory of the guest.
    pub guest_kib: u64,
    /// All other memory.
    pub beside_guest_kib: u64,
}

/// Sums up `smaps` of a VMM whose guest has `guest_kib` of memory. A mapping at least half as large as the guest's memory is
/// part of it, because a VMM maps it in one or two pieces, around the hole for devices below 4 GiB, and maps nothing else
/// near that size.
#[must_use]
pub fn beside_guest(smaps: &str, guest_kib: u64) -> MachineMemory {
    let mut memory = MachineMemory::default();
    let mut is_guests = false;
    for line in smaps.lines() {
        if let Some(kib) = field(line, "Size:") {
            is_guests = kib >= guest_kib / 2;
        } else if let Some(kib) = field(line, "Pss:") {
            let sum = if is_guests { &mut memory.guest_kib } else { &mut memory.beside_guest_kib };
            *sum += kib;
        }
    }
    memory
}

fn field(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_memory_is_told_apart_from_its_vmms() {
        let smaps = "\
            555500000000-555500400000 r-xp 00000000 fe:01 12 /firecracker\n\
            Size:               4096 kB\nKernelPageSize:        4 kB\nRss:                2048 kB\nPss:                1500 kB\n\
            Pss_Dirty:             0 kB\n\
            7f0000000000-7f0020000000 rw-p 00000000 00:00 0\n\
            Size:             524288 kB\nRss:               90000 kB\nPss:               90000 kB\n\
            7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n\
            Size:                132 kB\nPss:                  12 kB\n";
        let memory = beside_guest(smaps, 512 * 1024);
        assert_eq!(memory, MachineMemory { guest_kib: 90_000, beside_guest_kib: 1512 });
        assert_eq!(beside_guest("", 1), MachineMemory::default());
    }
}
