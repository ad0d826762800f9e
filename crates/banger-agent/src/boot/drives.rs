//! Waits for the drives and determines the role of each.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink},
};

use super::cmdline::Role;

const DEADLINE: Duration = Duration::from_secs(10);

/// Multicast group of the kernel's own events.
const KERNEL_EVENTS: u32 = 1;

/// Not all drives are available.
#[derive(Debug, thiserror::Error)]
pub(super) enum DrivesError {
    #[error("cannot listen to the kernel's device events")]
    Listen { source: rustix::io::Errno },
    #[error("cannot find the drives `{wanted}`: the machine has `{present}`")]
    Missing { wanted: String, present: String },
}

/// A drive with its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drive {
    pub(super) role: Role,
    pub(super) device: PathBuf,
}

/// A disk as listed by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Disk {
    name: String,
    serial: String,
}

/// Waits until there is a drive for every role.
pub(super) fn wait(roles: &[Role]) -> Result<Vec<Drive>, DrivesError> {
    // Listening starts before the first scan, so that no drive is missed in between.
    let events = listen().map_err(|source| DrivesError::Listen { source })?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let disks = disks();
        if let Some(drives) = assign(roles, &disks) {
            return Ok(drives);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(missing(roles, &disks));
        }
        wait_for_event(&events, left);
    }
}

fn missing(roles: &[Role], disks: &[Disk]) -> DrivesError {
    let join = |names: Vec<&str>| names.join(",");
    DrivesError::Missing {
        wanted: join(roles.iter().map(Role::name).collect()),
        present: join(disks.iter().map(|disk| disk.name.as_str()).collect()),
    }
}

fn listen() -> Result<OwnedFd, rustix::io::Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::KOBJECT_UEVENT),
    )?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, KERNEL_EVENTS))?;
    Ok(socket)
}

fn wait_for_event(events: &OwnedFd, left: Duration) {
    let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    let _ = poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&left));
    let mut event = [0; 4096];
    while rustix::net::recv(events, &mut event, RecvFlags::empty()).is_ok() {}
}

fn disks() -> Vec<Disk> {
    let mut disks: Vec<Disk> = fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("vd"))
        .map(|name| {
            let serial = fs::read_to_string(format!("/sys/block/{name}/serial")).unwrap_or_default();
            Disk { serial: serial.trim().to_owned(), name }
        })
        .collect();
    // The letters count like digits: vdz comes before vdaa.
    disks.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
    disks
}

/// Assigns a disk to every role: by serial if the VMM has set serials, otherwise in the order of attachment.
fn assign(roles: &[Role], disks: &[Disk]) -> Option<Vec<Drive>> {
    let by_serial = |role: &Role| disks.iter().find(|disk| disk.serial == role.name());
    let has_serials = roles.iter().any(|role| by_serial(role).is_some());
    roles
        .iter()
        .enumerate()
        .map(|(position, role)| {
            let disk = if has_serials { by_serial(role)? } else { disks.get(position)? };
            Some(Drive { role: role.clone(), device: Path::new("/dev").join(&disk.name) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, serial: &str) -> Disk {
        Disk { name: name.into(), serial: serial.into() }
    }

    fn devices(roles: &[Role], disks: &[Disk]) -> Option<Vec<String>> {
        Some(assign(roles, disks)?.iter().map(|drive| drive.device.display().to_string()).collect())
    }

    #[test]
    fn serials_decide_where_they_are() {
        let disks = [disk("vda", "work"), disk("vdb", "base")];
        assert_eq!(devices(&[Role::Base, Role::Work], &disks).unwrap(), ["/dev/vdb", "/dev/vda"]);
    }

    #[test]
    fn without_serials_the_order_decides() {
        let disks = [disk("vda", "x1"), disk("vdb", "")];
        assert_eq!(devices(&[Role::Base, Role::Work], &disks).unwrap(), ["/dev/vda", "/dev/vdb"]);
    }

    #[test]
    fn a_drive_that_is_not_there_yet_is_waited_for() {
        assert_eq!(devices(&[Role::Base, Role::Work], &[disk("vda", "work")]), None);
        assert_eq!(devices(&[Role::Base, Role::Work], &[disk("vda", "")]), None);
        assert_eq!(devices(&[], &[]), Some(vec![]));
    }
}
