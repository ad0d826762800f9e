//! Whether this user may use other user ids in a namespace: what a bootstrap without root needs.
//! Source: `subuid(5)`, `newuidmap(1)`.

use std::fs;

/// Tells whether this process's user has subordinate user and group ids.
#[must_use]
pub fn has_sub_ids() -> bool {
    let uid = rustix::process::geteuid().as_raw();
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let passwd = read("/etc/passwd");
    ["/etc/subuid", "/etc/subgid"].into_iter().all(|path| has_range(&read(path), &passwd, uid))
}

fn has_range(ranges: &str, passwd: &str, uid: u32) -> bool {
    let uid = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number == uid).then_some(name)
    });
    ranges.lines().filter_map(|line| line.split(':').next()).any(|owner| owner == uid || Some(owner) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\n";

    #[test]
    fn a_range_belongs_to_a_name_or_a_number() {
        assert!(has_range("ada:100000:65536\n", PASSWD, 1000));
        assert!(has_range("1000:100000:65536\n", PASSWD, 1000));
        assert!(!has_range("ada:100000:65536\n", PASSWD, 1001));
        assert!(!has_range("", PASSWD, 1000));
    }
}
