use proptest::prelude::*;

use super::*;

pub(in crate::egress) fn rule() -> impl Strategy<Value = Rule> {
    let action = prop_oneof![Just("allow"), Just("deny")];
    let name = "(\\*\\.)?[a-z]([a-z0-9-]{0,6}[a-z0-9])?\\.(org|net|example)";
    let ports = prop_oneof![
        Just(String::new()),
        (1_u16..).prop_map(|port| format!(":{port}")),
        (1_u16..9000, 1_u16..9000).prop_map(|(first, more)| format!(":{first}-{},65535", first + more)),
    ];
    let transport = prop_oneof![Just(""), Just("tcp "), Just("udp ")];
    let range = prop_oneof![
        (any::<u32>(), 0_u8..=32).prop_map(|(bits, length)| {
            ipnet::IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), length).unwrap().trunc().to_string()
        }),
        (any::<u128>(), 0_u8..=128)
            .prop_filter("mapped", |(bits, _)| std::net::Ipv6Addr::from_bits(*bits)
                .to_ipv4_mapped()
                .is_none())
            .prop_map(|(bits, length)| {
                let net = ipnet::IpNet::new(std::net::Ipv6Addr::from_bits(bits).into(), length).unwrap();
                format!("[{}]", net.trunc())
            }),
    ];
    let requests =
        (action.clone(), "(GET|HEAD|POST|GET,POST) ", name, ports.clone(), "(/[a-z]{1,4}){0,2}\\*?")
            .prop_filter("a star stands behind a slash", |(.., path)| {
                path.starts_with('/') || path.is_empty()
            })
            .prop_map(|(action, methods, name, ports, path)| {
                format!("{action} {methods}{name}{ports}{path}")
            });
    let text = prop_oneof![
        (action.clone(), transport.clone(), name, ports.clone())
            .prop_map(|(action, transport, name, ports)| format!("{action} {transport}{name}{ports}")),
        (action.clone(), transport.clone(), range, ports.clone())
            .prop_map(|(action, transport, range, ports)| format!("{action} {transport}{range}{ports}")),
        (action.clone(), transport.clone(), ports.clone())
            .prop_map(|(action, transport, ports)| format!("{action} {transport}*{ports}")),
        (action.clone(), transport, ports)
            .prop_map(|(action, transport, ports)| format!("{action} {transport}lan{ports}")),
        (1_u16..).prop_map(|port| format!("allow host:{port}")),
        (action, name).prop_map(|(action, name)| format!("{action} icmp {name}")),
        requests,
    ];
    text.prop_map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}

pub(in crate::egress) fn policy() -> impl Strategy<Value = EgressPolicy> {
    (prop_oneof![Just(Action::Allow), Just(Action::Deny)], proptest::collection::vec(rule(), 0..12)).prop_map(
        |(default, rules)| {
            let mut policy = EgressPolicy { default, rules: Vec::new() };
            assert!(rules.into_iter().all(|rule| policy.add(rule)));
            policy
        },
    )
}

proptest! {
    #[test]
    fn a_policy_that_is_written_is_read_as_the_same(policy in policy()) {
        prop_assert_eq!(policy.to_string().parse::<EgressPolicy>(), Ok(policy));
    }

    #[test]
    fn whatever_is_read_is_written_as_the_same(text in "(((allow|deny|default|tcp|udp|icmp|GET) ?){0,3}([Hh]ost|[Ll]an|[Tt]cp|[Aa]llow)?[a-z0-9*.:/\\[\\]-]{0,12}\n?){0,4}|\\PC{0,60}") {
        if let Ok(policy) = text.parse::<EgressPolicy>() {
            prop_assert_eq!(policy.to_string().parse::<EgressPolicy>(), Ok(policy));
        }
    }

    #[test]
    fn a_rule_covers_itself(rule in rule()) {
        prop_assert!(rule.covers(&rule));
    }
}

fn parse(text: &str) -> Result<EgressPolicy, String> {
    text.parse().map_err(|error: BadPolicy| error.to_string())
}

#[test]
fn comments_and_blank_lines_mean_nothing() {
    let policy = parse("# deps\r\n\r\n  allow example.org:443 # the registry\n\texample.org:443\n").unwrap();
    assert_eq!(policy.to_string(), "default deny\nallow example.org:443\n");
    assert_eq!(parse(""), Ok(EgressPolicy::closed()));
    assert_eq!(parse("default allow"), Ok(EgressPolicy::open()));
}

#[test]
fn a_fault_names_its_line() {
    assert_eq!(
        parse("default deny\n\nallow exa mple.org"),
        Err("line 3: `exa` is not understood before a target; write at most an action (`allow`, `deny`), a protocol \
             (`tcp`, `udp`, `icmp`) and methods in capitals (`GET,HEAD`), in this order"
            .to_owned())
    );
    assert_eq!(
        parse("default denied"),
        Err("line 1: `default denied` does not say what becomes of the rest; write `default deny` or `default allow`".to_owned())
    );
    assert_eq!(
        parse("default deny\ndefault allow"),
        Err("line 2: the default was given in line 1 already; remove one of the two lines".to_owned())
    );
    assert_eq!(
        parse("deny example.org\n# end\n"),
        Err("line 1: all rules are `deny` and no default is given; write `default allow` to permit the rest"
            .to_owned())
    );
    let many: String = (0..=RULES_MAX).map(|number| format!("a{number}.org\n")).collect();
    assert!(parse(&many).unwrap_err().starts_with("line 1001: a policy has at most 1000 rules"));
    assert!(parse(&"#".repeat(POLICY_BYTES_MAX + 1)).unwrap_err().contains("at most 65536 bytes"));
}

#[test]
fn a_word_of_the_language_in_another_spelling_is_not_a_host() {
    for text in ["hosT:5432", "host.:5432", "LAN", "aLLow", "deny.", "Tcp", "udp:53", "deny Icmp"] {
        let error = parse(text).unwrap_err();
        assert!(error.contains("is a word of policies; write the full name"), "{text}: {error}");
    }
    assert_eq!(
        parse("*.host:22\nlan.example.org").unwrap().to_string(),
        "default deny\nallow *.host:22\nallow lan.example.org\n"
    );
}

#[test]
fn host_ports_and_the_lan_are_rules_like_others() {
    let mut policy = EgressPolicy::open();
    assert!(policy.allow_host_ports([6379, 5432]) && policy.allow_lan() && policy.allow_host_ports([]));
    assert_eq!(policy.to_string(), "default allow\nallow host:5432,6379\nallow lan\n");
    assert!(!policy.has_names() && parse("example.org").unwrap().has_names());
}
