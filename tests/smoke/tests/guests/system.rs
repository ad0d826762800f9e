//! The guest as a system: systemd, sshd, the agent's identity.

use banger_smoke::Home;
use banger_smoke::harness::{Need, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure("system", 10, "the guest is a whole Debian, and its sshd takes keys only", system),
    Scenario::pure("kvm", 4, "a guest boots on the processor itself", kvm).needs(Need::Virtualization),
];

fn system() {
    let home = Home::ready();
    let name = home.text(&["vm", "run", "-d", "--name", "sys", "--wait", "system", "--memory", "1G"]);
    assert_eq!(name, "sys\n");
    let guest = |script: &str| home.text(&["vm", "exec", "sys", "--", "sh", "-c", script]);
    assert_eq!(guest("systemctl is-system-running"), "running\n");
    assert_eq!(guest("systemctl --failed --no-legend --plain"), "");
    assert_eq!(guest("hostname; cat /etc/hostname"), "sys\nsys\n");
    // The first things that a developer looks for.
    assert_eq!(
        guest(
            "for tool in git curl jq gcc make ip ps sshd ssh; do command -v $tool >/dev/null || echo $tool; done"
        ),
        ""
    );
    assert_eq!(guest("echo 'int main(void){return 7;}' > a.c && gcc a.c && ./a.out; echo $?"), "7\n");
    // Its disks: /root is its own, container engines' directories are not on an overlay.
    assert_eq!(
        guest("findmnt -no FSTYPE /root; findmnt -no FSTYPE /; findmnt -no FSTYPE /var/lib/docker"),
        "ext4\noverlay\next4\n"
    );
    assert_eq!(
        guest("stat -c '%a %U:%G' /root /root/.ssh /root/.ssh/authorized_keys"),
        "755 root:root\n700 root:root\n600 root:root\n"
    );
    assert_eq!(guest("modprobe dm_mod && grep -c ^dm_mod /proc/modules"), "1\n");
    // The clock agrees with the host's.
    let guest_time: u64 = guest("date +%s").trim().parse().unwrap();
    let host_time = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(host_time.abs_diff(guest_time) <= 5, "guest {guest_time}, host {host_time}");
    // Founding requirements S37 and S41, on a real guest.
    let sshd = guest("sshd -T");
    for line in [
        "permitrootlogin without-password",
        "pubkeyauthentication yes",
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "authorizedkeysfile /root/.ssh/authorized_keys",
        "strictmodes yes",
    ] {
        assert!(sshd.lines().any(|found| found == line), "`{line}` is missing in: {sshd}");
    }
    let ssh = home.banger(&["vm", "ssh", "sys", "--", "id -un; exit 5"]).run();
    assert_eq!((ssh.stdout.as_str(), ssh.status), ("root\n", 5), "{ssh:?}");
}

/// The same first command on hardware virtualisation.
fn kvm() {
    let home = Home::ready();
    let answer = home.banger(&["vm", "run", "-q", "-d", "--name", "kvm"]).run();
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(home.show("kvm")["vmm"], "qemu/kvm");
    assert_eq!(home.text(&["vm", "exec", "kvm", "--", "uname", "-s"]), "Linux\n");
}
