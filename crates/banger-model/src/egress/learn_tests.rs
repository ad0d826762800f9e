use proptest::prelude::*;

use super::*;
use crate::egress::{Attempt, EgressPolicy, HostFacts, HostName, Said, Verdict};

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn lookup(text: &str) -> Attempted {
    Attempted::Lookup { name: name(text) }
}

fn connection(protocol: Protocol, address: &str, port: u16, host: &str) -> Attempted {
    let host = (!host.is_empty()).then(|| name(host));
    Attempted::Connection { protocol, address: address.parse().unwrap(), port, name: host }
}

fn learned(refused: &[(Attempted, Refusal)]) -> String {
    let learned = Learned::from(refused.iter().map(|(attempted, refusal)| (attempted, refusal)));
    let text = learned.to_string();
    let policy: EgressPolicy = text.parse().unwrap();
    assert_eq!(policy.rules(), learned.rules);
    text
}

#[test]
fn what_was_tried_becomes_few_rules() {
    use Protocol::{Icmp, Tcp, Udp};
    let closed = |class| Refusal::Closed { class };
    let refused = [
        (lookup("pypi.org"), Refusal::NotAllowed),
        (lookup("crates.io"), Refusal::NotAllowed),
        (connection(Tcp, "198.51.100.1", 443, "crates.io"), Refusal::NotAllowed),
        (connection(Tcp, "198.51.100.2", 80, "crates.io"), Refusal::NotAllowed),
        (connection(Tcp, "198.51.100.4", 22, ""), Refusal::NotAllowed),
        (connection(Tcp, "198.51.100.5", 22, ""), Refusal::NotAllowed),
        (connection(Udp, "198.51.100.9", 53, ""), Refusal::NotAllowed),
        (connection(Tcp, "198.51.100.9", 53, ""), Refusal::NotAllowed),
        (connection(Icmp, "198.51.100.9", 0, ""), Refusal::NotAllowed),
        (connection(Tcp, "198.51.100.8", 443, "front.net"), Refusal::NameDisagrees),
        (connection(Tcp, "10.0.2.2", 5432, ""), closed(AddressClass::Gateway)),
        (connection(Tcp, "192.168.1.7", 631, "printer.lan"), closed(AddressClass::Lan)),
        (
            lookup("nas.lan"),
            Refusal::Rebinding { address: "192.168.1.8".parse().unwrap(), class: AddressClass::Lan },
        ),
        (connection(Tcp, "169.254.169.254", 80, ""), closed(AddressClass::Metadata)),
        (connection(Udp, "198.51.100.1", 443, "crates.io"), Refusal::Quic),
        (connection(Tcp, "198.51.100.3", 25, ""), Refusal::Denied { rule: "deny *:25".to_owned() }),
    ];
    assert_eq!(
        learned(&refused),
        "default deny
allow tcp crates.io:80,443
allow pypi.org
allow 192.168.1.7:631
allow 192.168.1.8
allow tcp 198.51.100.4/31:22
allow tcp 198.51.100.8:443
allow 198.51.100.9:53
allow icmp 198.51.100.9
allow tcp host:5432

# No allow rule changes these:
# tcp 169.254.169.254:80: a cloud's metadata service is closed
# tcp 198.51.100.3:25: denied by `deny *:25`
# udp 198.51.100.1:443 (crates.io): QUIC hides the name of the host
"
        .replace("allow 192.168.1.7:631", "allow tcp 192.168.1.7:631")
    );
    assert_eq!(learned(&[]), "default deny\n");
}

#[test]
fn requests_become_rules_with_methods_and_paths() {
    let request = |method: &str, port, path: &str| {
        let (method, path) = (method.to_owned(), path.to_owned());
        (Attempted::Request { name: name("a.org"), port, method, path }, Refusal::NotAllowed)
    };
    let refused = [
        request("GET", 80, "/x"),
        request("HEAD", 80, "/x"),
        request("GET", 8080, "/y"),
        request("POST", 80, "/../x"),
        (lookup("a.org"), Refusal::NotAllowed),
    ];
    assert_eq!(
        learned(&refused),
        "default deny\nallow GET a.org:8080/y\nallow GET,HEAD a.org:80/x\n\n# No allow rule changes these:\n\
         # POST a.org:80/../x: no rule allows it\n"
    );
}

proptest! {
    #[test]
    fn the_learned_policy_allows_exactly_what_was_tried(
        tried in proptest::collection::btree_set((0_u32..40, 1_u16..6, "[a-d]?", prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)]), 0..20),
        other in (0_u32..40, 1_u16..6, "[a-d]?", prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)]),
    ) {
        let facts = HostFacts::default();
        let address = |low: u32| std::net::Ipv4Addr::from_bits(0xc633_6400 | low).into();
        let port = |port, protocol| if protocol == Protocol::Icmp { 0 } else { port };
        let host = |text: &str| (!text.is_empty()).then(|| name(&format!("{text}.org")));
        let refused: Vec<_> = tried.iter().map(|(low, number, text, protocol)| {
            let (protocol, address, port) = (*protocol, address(*low), port(*number, *protocol));
            (Attempted::Connection { protocol, address, port, name: host(text) }, Refusal::NotAllowed)
        }).collect();
        let policy: EgressPolicy = learned(&refused).parse().unwrap();
        let is_allowed = |(low, number, text, protocol): &(u32, u16, String, Protocol)| {
            let names: Vec<HostName> = host(text).into_iter().collect();
            let attempt = Attempt { protocol: *protocol, address: address(*low), port: port(*number, *protocol), names: &names };
            match policy.decide(&attempt, &facts) {
                Verdict::Allow => true,
                Verdict::ReadName => policy.decide_said(&attempt, &facts, &Said::Tls(names[0].clone())) == Verdict::Allow,
                Verdict::ReadRequests | Verdict::Refuse(_) => false,
            }
        };
        prop_assert!(tried.iter().all(is_allowed), "{}", policy);
        let was_tried = tried.iter().any(|(low, number, text, protocol)| {
            let is_same_service = *protocol == other.3 && (*number == other.1 || *protocol == Protocol::Icmp);
            let is_same_place = if text.is_empty() { *low == other.0 } else { *text == other.2 };
            is_same_service && is_same_place
        });
        prop_assert_eq!(is_allowed(&other), was_tried, "{}", policy);
    }
}
