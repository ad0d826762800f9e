use proptest::prelude::*;

use super::*;
use crate::egress::policy::tests::policy;

const PUBLIC: &str = "198.51.100.7";

fn facts() -> HostFacts {
    HostFacts {
        own: vec!["192.0.2.2/32".parse().unwrap()],
        on_link: vec!["192.0.2.0/24".parse().unwrap()],
        guest_networks: vec!["10.0.2.0/24".parse().unwrap()],
        gateways: vec!["10.0.2.2".parse().unwrap()],
    }
}

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

/// A policy, and a connection under it.
struct Case {
    policy: EgressPolicy,
    names: Vec<HostName>,
    protocol: Protocol,
    address: IpAddr,
    port: u16,
}

impl Case {
    fn tcp(policy: &str, address: &str, port: u16, names: &[&str]) -> Self {
        Self {
            policy: policy.parse().unwrap_or_else(|error| panic!("{policy}: {error}")),
            names: names.iter().map(|text| name(text)).collect(),
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
            port,
        }
    }

    fn by(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt { protocol: self.protocol, address: self.address, port: self.port, names: &self.names }
    }

    fn decide(&self) -> Verdict {
        self.policy.decide(&self.attempt(), &facts())
    }

    fn said(&self, said: &Said) -> Verdict {
        assert_eq!(self.decide(), Verdict::ReadName);
        self.policy.decide_said(&self.attempt(), &facts(), said)
    }

    fn request(&self, host: &str, method: &str, target: &str) -> Verdict {
        assert_eq!(self.said(&Said::Http(name(host))), Verdict::ReadRequests);
        self.policy.decide_request(&self.attempt(), &facts(), &name(host), (method, target))
    }
}

fn closed(class: AddressClass) -> Verdict {
    Verdict::Refuse(Refusal::Closed { class })
}

fn denied(rule: &str) -> Verdict {
    Verdict::Refuse(Refusal::Denied { rule: rule.to_owned() })
}

const NOT_ALLOWED: Verdict = Verdict::Refuse(Refusal::NotAllowed);

#[test]
fn the_default_decides_what_no_rule_means() {
    assert_eq!(Case::tcp("default allow", PUBLIC, 443, &[]).decide(), Verdict::Allow);
    assert_eq!(Case::tcp("default deny", PUBLIC, 443, &[]).decide(), NOT_ALLOWED);
    assert_eq!(Case::tcp("example.org", PUBLIC, 443, &["example.net"]).decide(), NOT_ALLOWED);
}

#[test]
fn a_deny_rule_wins_wherever_it_stands() {
    for policy in ["198.51.100.0/24\ndeny 198.51.100.7", "deny 198.51.100.7\n198.51.100.0/24"] {
        assert_eq!(Case::tcp(policy, PUBLIC, 443, &[]).decide(), denied("deny 198.51.100.7"));
        assert_eq!(Case::tcp(policy, "198.51.100.8", 443, &[]).decide(), Verdict::Allow);
    }
    let policy = "*.example.org\ndeny ads.example.org";
    assert_eq!(Case::tcp(policy, PUBLIC, 443, &["ads.example.org"]).decide(), denied("deny ads.example.org"));
    let shared = Case::tcp(policy, PUBLIC, 443, &["ads.example.org", "www.example.org"]);
    assert_eq!(shared.said(&Said::Tls(name("www.example.org"))), Verdict::Allow);
    assert_eq!(shared.said(&Said::Tls(name("ads.example.org"))), denied("deny ads.example.org"));
}

#[test]
fn ports_and_protocols_limit_a_rule() {
    let policy = "tcp 198.51.100.0/24:80,8000-8999\nudp 198.51.100.0/24:123\nicmp 198.51.100.7";
    for (port, protocol, expected) in [
        (80, Protocol::Tcp, Verdict::Allow),
        (8500, Protocol::Tcp, Verdict::Allow),
        (443, Protocol::Tcp, NOT_ALLOWED),
        (123, Protocol::Tcp, NOT_ALLOWED),
        (123, Protocol::Udp, Verdict::Allow),
        (80, Protocol::Udp, NOT_ALLOWED),
        (0, Protocol::Icmp, Verdict::Allow),
    ] {
        assert_eq!(Case::tcp(policy, PUBLIC, port, &[]).by(protocol).decide(), expected, "{protocol} {port}");
    }
    assert_eq!(Case::tcp("*:443", PUBLIC, 0, &[]).by(Protocol::Icmp).decide(), NOT_ALLOWED);
}

#[test]
fn what_is_closed_stays_closed_under_every_default() {
    for policy in ["default allow", "default allow\n*\n0.0.0.0/0\n::/0", "*\nlan\nhost:80"] {
        for (address, class) in [
            ("127.0.0.1", AddressClass::Loopback),
            ("::1", AddressClass::Loopback),
            ("::ffff:127.0.0.1", AddressClass::Embedding),
            ("64:ff9b::7f00:1", AddressClass::Loopback),
            ("169.254.169.254", AddressClass::Metadata),
            ("192.0.2.2", AddressClass::Host),
            ("10.0.2.3", AddressClass::GuestNetwork),
            ("224.0.0.1", AddressClass::Multicast),
        ] {
            assert_eq!(
                Case::tcp(policy, address, 80, &["a.org"]).decide(),
                closed(class),
                "{policy} {address}"
            );
        }
    }
    for (address, class) in [
        ("192.0.2.9", AddressClass::Lan),
        ("10.9.9.9", AddressClass::Lan),
        ("10.0.2.2", AddressClass::Gateway),
    ] {
        let policy = "default allow\n*\n0.0.0.0/0\na.org";
        assert_eq!(Case::tcp(policy, address, 80, &["a.org"]).decide(), closed(class), "{address}");
    }
}

#[test]
fn the_lan_and_ports_of_the_host_are_opened_by_rules_that_name_them() {
    for policy in ["lan", "lan:80", "10.9.0.0/16:80", "default allow\n10.9.9.9"] {
        assert_eq!(Case::tcp(policy, "10.9.9.9", 80, &[]).decide(), Verdict::Allow, "{policy}");
    }
    assert_eq!(Case::tcp("lan:22", "10.9.9.9", 80, &[]).decide(), closed(AddressClass::Lan));
    assert_eq!(Case::tcp("lan\ndeny 10.9.9.9", "10.9.9.9", 80, &[]).decide(), denied("deny 10.9.9.9"));
    assert_eq!(Case::tcp("host:5432", "10.0.2.2", 5432, &[]).decide(), Verdict::Allow);
    assert_eq!(Case::tcp("host:5432", "10.0.2.2", 5433, &[]).decide(), closed(AddressClass::Gateway));
    assert_eq!(Case::tcp("lan", PUBLIC, 80, &[]).decide(), NOT_ALLOWED);
    assert_eq!(
        Case::tcp("deny 198.51.100.0/24\n*", "64:ff9b::c633:6407", 80, &[]).decide(),
        denied("deny 198.51.100.0/24")
    );
}

#[test]
fn a_name_in_tls_must_be_allowed_and_resolved_to_the_address() {
    let case = Case::tcp("*.example.org:443\nother.net:443", PUBLIC, 443, &["www.example.org"]);
    assert_eq!(case.said(&Said::Tls(name("www.example.org"))), Verdict::Allow);
    assert_eq!(case.said(&Said::Tls(name("other.net"))), Verdict::Refuse(Refusal::NameDisagrees));
    assert_eq!(case.said(&Said::Tls(name("api.example.org"))), Verdict::Refuse(Refusal::NameDisagrees));
    let shared = Case::tcp("a.org", PUBLIC, 443, &["a.org", "b.org"]);
    assert_eq!(shared.said(&Said::Tls(name("b.org"))), NOT_ALLOWED);
    for (said, refusal) in [
        (Said::EncryptedName, Refusal::EncryptedName),
        (Said::NoName, Refusal::NoName),
        (Said::Quic, Refusal::Quic),
        (Said::Other, Refusal::NotWeb),
    ] {
        assert_eq!(case.said(&said), Verdict::Refuse(refusal));
    }
}

#[test]
fn other_protocols_go_on_where_their_name_was_resolved() {
    let ssh = Case::tcp("git.example.org:22", PUBLIC, 22, &["git.example.org"]);
    assert_eq!(ssh.said(&Said::Other), Verdict::Allow);
    assert_eq!(Case::tcp("git.example.org:22", PUBLIC, 22, &[]).decide(), NOT_ALLOWED);
    assert_eq!(Case::tcp("icmp a.org", PUBLIC, 0, &["a.org"]).by(Protocol::Icmp).decide(), Verdict::Allow);
    let time = Case::tcp("udp ntp.org:123", PUBLIC, 123, &["ntp.org"]).by(Protocol::Udp);
    assert_eq!(time.said(&Said::Other), Verdict::Allow);
    assert_eq!(time.said(&Said::Quic), Verdict::Refuse(Refusal::Quic));
}

#[test]
fn a_denied_name_is_refused_where_all_else_is_open() {
    let case = Case::tcp("default allow\ndeny *.ads.net", PUBLIC, 443, &[]);
    assert_eq!(case.said(&Said::Tls(name("a.ads.net"))), denied("deny *.ads.net"));
    assert_eq!(case.said(&Said::Tls(name("example.org"))), Verdict::Allow);
    assert_eq!(case.said(&Said::Other), Verdict::Allow);
    assert_eq!(case.said(&Said::EncryptedName), Verdict::Refuse(Refusal::EncryptedName));
    let resolved = Case::tcp("default allow\ndeny *.ads.net", PUBLIC, 25, &["a.ads.net"]);
    assert_eq!(resolved.decide(), denied("deny *.ads.net"));
    assert_eq!(Case::tcp("default allow\ndeny a.org:443", PUBLIC, 25, &[]).decide(), Verdict::Allow);
}

#[test]
fn requests_are_limited_by_method_and_path() {
    let case = Case::tcp("GET,HEAD github.com/owner/*", PUBLIC, 80, &["github.com", "gist.net"]);
    assert_eq!(case.request("github.com", "GET", "/owner/name?x=/../"), Verdict::Allow);
    for (host, method, target, refused) in [
        ("github.com", "POST", "/owner/name", Refusal::NotAllowed),
        ("github.com", "GET", "/other/name", Refusal::NotAllowed),
        ("github.com", "GET", "/owner/../other", Refusal::NotAllowed),
        ("github.com", "GET", "/owner/%2e%2e/other", Refusal::NotAllowed),
    ] {
        assert_eq!(case.request(host, method, target), Verdict::Refuse(refused), "{method} {target}");
    }
    let second =
        |host: &str| case.policy.decide_request(&case.attempt(), &facts(), &name(host), ("GET", "/owner/x"));
    assert_eq!(second("gist.net"), NOT_ALLOWED);
    assert_eq!(second("evil.net"), Verdict::Refuse(Refusal::NameDisagrees));
    assert_eq!(case.said(&Said::Tls(name("github.com"))), Verdict::Refuse(Refusal::HiddenRequests));

    let policy = "default allow\ndeny POST a.org/admin/*";
    let case = Case::tcp(policy, PUBLIC, 80, &[]);
    assert_eq!(case.request("a.org", "GET", "/admin/x"), Verdict::Allow);
    assert_eq!(case.request("a.org", "POST", "/admin/x"), denied("deny POST a.org/admin/*"));
    assert_eq!(case.request("a.org", "POST", "//admin/x"), denied("deny POST a.org/admin/*"));
    assert_eq!(case.request("b.org", "POST", "/admin/x"), Verdict::Allow);
}

#[test]
fn names_are_resolved_if_something_there_is_allowed() {
    let may = |policy: &str, text: &str| policy.parse::<EgressPolicy>().unwrap().may_resolve(&name(text));
    assert_eq!(may("default allow", "a.org"), Ok(()));
    assert_eq!(may("default deny", "a.org"), Err(Refusal::NotAllowed));
    assert_eq!(may("*.a.org:443\n10.0.0.0/8", "x.a.org"), Ok(()));
    assert_eq!(may("*.a.org:443\nlan\nhost:1", "a.org"), Err(Refusal::NotAllowed));
    assert_eq!(may("*:443", "a.org"), Ok(()));
    assert_eq!(may("*\ndeny a.org", "a.org"), Err(Refusal::Denied { rule: "deny a.org".to_owned() }));
    assert_eq!(may("*\ndeny a.org:25", "a.org"), Ok(()), "the rest of it is open");
}

#[test]
fn answers_lead_to_nothing_that_is_closed() {
    let may = |policy: &str, address: &str| {
        policy.parse::<EgressPolicy>().unwrap().may_answer(address.parse().unwrap(), &facts()).is_ok()
    };
    assert!(may("default deny", PUBLIC), "the connection is decided apart");
    for address in [
        "10.9.9.9",
        "127.0.0.1",
        "192.0.2.2",
        "10.0.2.2",
        "169.254.169.254",
        "::ffff:10.9.9.9",
        "64:ff9b::a09:909",
    ] {
        assert!(!may("default allow\n*", address), "{address}");
    }
    assert!(may("lan:22", "10.9.9.9") && may("10.9.0.0/16", "10.9.9.9") && !may("10.8.0.0/16", "10.9.9.9"));
    assert!(!may("lan\n127.0.0.0/8", "127.0.0.1") && !may("0.0.0.0/0", "10.9.9.9"));
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| std::net::Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
        any::<u32>()
            .prop_map(|bits| std::net::Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(bits)).into()),
        (0_u32..=0xffff).prop_map(|low| std::net::Ipv4Addr::from_bits(0x0a00_0000 | low).into()),
    ]
}

proptest! {
    #[test]
    fn no_policy_opens_what_cannot_be_opened(policy in policy(), address in address(), port: u16) {
        let names = [name("a.org")];
        let attempt = Attempt { protocol: Protocol::Tcp, address, port, names: &names };
        let class = AddressClass::of(address, &facts());
        if !class.can_be_opened() {
            prop_assert_eq!(policy.decide(&attempt, &facts()), closed(class));
            prop_assert!(policy.may_answer(address, &facts()).is_err());
            for said in [Said::Tls(name("a.org")), Said::Http(name("a.org")), Said::NoName, Said::Other] {
                let verdict = policy.decide_said(&attempt, &facts(), &said);
                prop_assert!(matches!(verdict, Verdict::Refuse(_)), "{:?} {:?}", said, verdict);
            }
        }
    }

    #[test]
    fn the_order_of_rules_means_nothing(policy in policy(), address in address(), port: u16, host in "[a-c]\\.(org|net)") {
        let mut reversed = EgressPolicy::closed();
        reversed.default = policy.default;
        prop_assert!(policy.rules().iter().rev().all(|rule| reversed.add(rule.clone())));
        let names = [name(&host)];
        let attempt = Attempt { protocol: Protocol::Tcp, address, port, names: &names };
        let kind = |verdict| match verdict {
            // Several rules may deny it.
            Verdict::Refuse(Refusal::Denied { .. }) => None,
            verdict => Some(verdict),
        };
        prop_assert_eq!(kind(policy.decide(&attempt, &facts())), kind(reversed.decide(&attempt, &facts())));
    }

    #[test]
    fn a_deny_rule_more_never_opens_anything(policy in policy(), more in policy(), address in address(), port: u16) {
        let names = [name("a.org"), name("b.c.net")];
        let attempt = Attempt { protocol: Protocol::Tcp, address, port, names: &names };
        let mut stricter = policy.clone();
        for rule in more.rules().iter().filter(|rule| rule.action == Action::Deny) {
            stricter.add(rule.clone());
        }
        if matches!(policy.decide(&attempt, &facts()), Verdict::Refuse(_)) {
            prop_assert!(matches!(stricter.decide(&attempt, &facts()), Verdict::Refuse(_)));
        }
        for said in [Said::Tls(name("a.org")), Said::Other, Said::NoName, Said::EncryptedName] {
            if matches!(policy.decide_said(&attempt, &facts(), &said), Verdict::Refuse(_)) {
                prop_assert!(matches!(stricter.decide_said(&attempt, &facts(), &said), Verdict::Refuse(_)));
            }
        }
    }
}
