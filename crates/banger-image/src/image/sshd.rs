//! How sshd of every guest answers: keys only, for root only with a key, no other way in. `StrictModes` stays at its
//! default (on), so owners and modes below `/root` have to be right from the start.

/// Where the drop-in is in the guest, relative to its root.
pub(crate) const SSHD_DROP_IN_PATH: &str = "etc/ssh/sshd_config.d/99-banger.conf";

/// The drop-in.
pub(crate) const SSHD_DROP_IN: &str = "\
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile /root/.ssh/authorized_keys
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_in_has_exactly_five_directives() {
        let directives: Vec<_> = SSHD_DROP_IN.lines().collect();
        assert_eq!(
            directives,
            [
                "PermitRootLogin prohibit-password",
                "PubkeyAuthentication yes",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "AuthorizedKeysFile /root/.ssh/authorized_keys",
            ]
        );
    }

    #[test]
    fn what_would_weaken_it_never_comes_back() {
        let words: Vec<_> = SSHD_DROP_IN
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase())
            .collect();
        for denied in
            ["loglevel debug3", "strictmodes no", "permitrootlogin yes", "passwordauthentication yes"]
        {
            assert!(!words.iter().any(|line| line == denied), "{denied}");
        }
    }
}
