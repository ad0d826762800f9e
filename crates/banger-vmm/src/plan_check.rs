//! Refuses plans that a VMM could only fail at, in words of the plan.

use std::path::Path;

use crate::contract::{MachinePlan, Network, StartError};

/// Longest kernel command line of x86 (`COMMAND_LINE_SIZE`), with its end mark.
const KERNEL_COMMAND_LINE_BYTES_MAX: usize = 2047;

/// Checks a plan. `added_bytes` is what the VMM adds to the kernel command line.
pub(crate) fn check(
    plan: &MachinePlan,
    kernel_command_line: &str,
    added_bytes: usize,
) -> Result<(), StartError> {
    for directory in [&plan.state_directory, &plan.runtime_directory] {
        require(directory.is_absolute(), || format!("`{}` is not an absolute path", directory.display()))?;
        require(directory.is_dir(), || format!("there is no directory `{}`", directory.display()))?;
    }
    let drives = plan.drives.iter().map(|drive| drive.path.as_path());
    for file in [plan.kernel.vmlinux.as_path(), &plan.kernel.initramfs].into_iter().chain(drives) {
        check_file(file)?;
    }
    let length = kernel_command_line.len();
    let length_max = KERNEL_COMMAND_LINE_BYTES_MAX.saturating_sub(added_bytes);
    require(length <= length_max, || {
        format!("the kernel command line has {length} bytes; it can have {length_max}")
    })?;
    match &plan.network {
        Network::None => Ok(()),
        Network::UserMode { mac } => {
            require(is_mac(mac), || format!("`{mac}` is not a unicast hardware address"))
        }
    }
}

/// Checks a plan whose guest is in a snapshot. `snapshot` are the snapshot's files.
pub(crate) fn check_restore(plan: &MachinePlan, snapshot: &[&Path]) -> Result<(), StartError> {
    for file in snapshot {
        check_file(file)?;
    }
    check(plan, "", 0)
}

/// Refuses a file that a VMM could not open.
pub(crate) fn check_file(path: &Path) -> Result<(), StartError> {
    let is_readable = path.is_file() && rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok();
    require(is_readable, || format!("there is no readable file `{}`", path.display()))?;
    require(path.is_absolute(), || format!("`{}` is not an absolute path", path.display()))?;
    // VMMs take paths as text.
    require(path.to_str().is_some(), || format!("`{}` is not valid text", path.display()))
}

/// Tells whether a text is an address that an interface can have: six bytes, not of a group.
fn is_mac(text: &str) -> bool {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            let is_byte = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_byte.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        })
        .collect();
    bytes.is_some_and(|bytes| bytes.len() == 6 && bytes.first().is_some_and(|first| first & 1 == 0))
}

/// Refuses a plan for a reason.
pub(crate) fn require(is_met: bool, reason: impl FnOnce() -> String) -> Result<(), StartError> {
    if is_met { Ok(()) } else { Err(StartError::BadPlan { reason: reason() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_one_interface_is_a_mac() {
        assert!(is_mac("52:54:00:12:34:56"));
        for bad in [
            "",
            "52:54:00:12:34",
            "53:54:00:12:34:56",
            "52:54:00:12:34:zz",
            "52:54:00:12:34:56,x=y",
            "+2:54:00:12:34:56",
        ] {
            assert!(!is_mac(bad), "{bad}");
        }
    }
}
