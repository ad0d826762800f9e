//! The contents of the identity's files, as pure functions of the existing and the requested content.

/// Returns `/etc/hosts` with this name on 127.0.1.1 and with the lines for `localhost`; other lines are kept.
pub(super) fn hosts(present: &str, hostname: &str) -> String {
    let mut lines: Vec<&str> =
        present.lines().filter(|line| line.split_ascii_whitespace().next() != Some("127.0.1.1")).collect();
    let has = |lines: &[&str], address: &str| {
        lines.iter().any(|line| {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            words.next() == Some(address) && words.any(|word| word == "localhost")
        })
    };
    if !has(&lines, "127.0.0.1") {
        lines.push("127.0.0.1 localhost");
    }
    if !has(&lines, "::1") {
        lines.push("::1 localhost ip6-localhost ip6-loopback");
    }
    let own = format!("127.0.1.1 {hostname}");
    lines.push(&own);
    lines.join("\n") + "\n"
}

/// Returns `/etc/resolv.conf`.
pub(super) fn resolv_conf(servers: &[String], search_domains: &[String]) -> String {
    let mut text = String::new();
    for server in servers {
        text.push_str("nameserver ");
        text.push_str(server);
        text.push('\n');
    }
    if !search_domains.is_empty() {
        text.push_str("search ");
        text.push_str(&search_domains.join(" "));
        text.push('\n');
    }
    text
}

/// Returns `authorized_keys` with these lines added; others are kept. `None` if it contains all of them.
pub(super) fn authorized_keys(present: &[u8], wanted: &[String]) -> Option<Vec<u8>> {
    let has = |text: &[u8], key: &str| {
        text.split(|b| *b == b'\n').any(|line| line.trim_ascii() == key.trim().as_bytes())
    };
    let mut text = present.to_vec();
    for key in wanted.iter().filter(|key| !key.trim().is_empty()) {
        if has(&text, key) {
            continue;
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(key.trim().as_bytes());
        text.push(b'\n');
    }
    (text != present).then_some(text)
}

/// Tells whether a name is a host name of one label, as in RFC 1123.
pub(super) fn is_hostname(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Tells whether an ID consists of 32 lower-case hex digits.
pub(super) fn is_machine_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_gets_the_name_and_localhost() {
        assert_eq!(
            hosts("", "box"),
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n"
        );
    }

    #[test]
    fn hosts_keeps_other_lines_and_drops_the_old_name() {
        let old = "127.0.0.1\tlocalhost\n::1 localhost\n127.0.1.1 old\n10.0.0.1 db # note\n";
        assert_eq!(
            hosts(old, "new"),
            "127.0.0.1\tlocalhost\n::1 localhost\n10.0.0.1 db # note\n127.0.1.1 new\n"
        );
    }

    #[test]
    fn resolv_conf_lists_servers_and_domains() {
        assert_eq!(
            resolv_conf(&["10.0.2.3".into(), "::1".into()], &["vm".into(), "lan".into()]),
            "nameserver 10.0.2.3\nnameserver ::1\nsearch vm lan\n"
        );
    }

    #[test]
    fn a_key_is_added_behind_a_line_without_an_end() {
        let text = authorized_keys(b"ssh-rsa AAA me", &["ssh-ed25519 BBB you\n".into()]).unwrap();
        assert_eq!(text, b"ssh-rsa AAA me\nssh-ed25519 BBB you\n");
    }

    #[test]
    fn names_and_ids_are_checked() {
        assert!(is_hostname("a") && is_hostname("A-1") && !is_hostname("") && !is_hostname("-a"));
        assert!(!is_hostname("a.b") && !is_hostname("a\nb") && !is_hostname(&"a".repeat(64)));
        assert!(is_machine_id(&"0f".repeat(16)) && !is_machine_id(&"0F".repeat(16)) && !is_machine_id("0"));
    }

    proptest! {
        #[test]
        fn a_second_pass_changes_nothing(
            present in prop::collection::vec(any::<u8>(), 0..200),
            text in "[ -~\n]{0,200}",
            keys in prop::collection::vec("[a-z]{1,8} [A-Za-z0-9]{1,20}", 0..4),
        ) {
            let first = authorized_keys(&present, &keys).unwrap_or(present);
            prop_assert_eq!(authorized_keys(&first, &keys), None);
            let first = hosts(&text, "box");
            prop_assert_eq!(hosts(&first, "box"), first);
        }

        #[test]
        fn no_line_of_the_user_is_lost(present in "([a-z0-9 #-]{0,30}\n){0,5}") {
            let text = authorized_keys(present.as_bytes(), &["k v".to_owned()]);
            let text = text.unwrap_or_else(|| present.clone().into_bytes());
            prop_assert!(text.starts_with(present.as_bytes()));
        }
    }
}
