use super::*;

fn canonical(text: &str) -> String {
    text.parse::<Rule>().unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn rules_are_written_as_they_are_read() {
    for (text, written) in [
        ("example.org", "allow example.org"),
        ("  allow   Example.ORG.:443 ", "allow example.org:443"),
        ("deny *.example.org", "deny *.example.org"),
        ("tcp *.example.org:443,80", "allow tcp *.example.org:80,443"),
        ("udp 192.0.2.0/24:123", "allow udp 192.0.2.0/24:123"),
        ("udp 192.0.2.0/24", "allow udp 192.0.2.0/24"),
        ("192.0.2.7", "allow 192.0.2.7"),
        ("192.0.2.7/32:22", "allow 192.0.2.7:22"),
        ("2001:DB8::/32", "allow 2001:db8::/32"),
        ("[2001:db8::1]:443", "allow [2001:db8::1]:443"),
        ("[2001:db8::/32]", "allow 2001:db8::/32"),
        ("icmp *", "allow icmp *"),
        ("*", "allow *"),
        ("*:443", "allow *:443"),
        ("deny lan:22", "deny lan:22"),
        ("lan", "allow lan"),
        ("host:5432", "allow host:5432"),
        ("tcp host:5432,6379", "allow tcp host:5432,6379"),
        ("GET,HEAD github.com/owner/*", "allow GET,HEAD github.com/owner/*"),
        ("HEAD,GET tcp.example.org", "allow GET,HEAD tcp.example.org/*"),
        ("tcp GET github.com:8080/%61", "allow GET github.com:8080/a"),
        ("deny github.com/admin*", "deny github.com/admin*"),
        ("example.org/8", "allow example.org/8"),
        ("bücher.example:443", "allow xn--bcher-kva.example:443"),
    ] {
        assert_eq!(canonical(text), written);
        assert_eq!(canonical(written), written);
    }
}

#[test]
fn each_fault_is_one_sentence_with_what_to_write() {
    let error = |text: &str| text.parse::<Rule>().map(|rule| rule.to_string()).unwrap_err().to_string();
    for (text, expected) in [
        ("allow", "the rule names no target"),
        ("deny udp", "the rule names no target"),
        ("accept example.org", "`accept` is not understood before a target"),
        ("tcp allow example.org", "`allow` is not understood"),
        ("get example.org/a", "`get` is not understood"),
        ("allow example.org 443", "`example.org` is not understood"),
        ("example.org:https", "`https` is not a list of ports"),
        ("example.org:", "`` is not a list of ports"),
        ("10.0.0.1/8", "`10.0.0.1/8` has bits behind its prefix; write `10.0.0.0/8`"),
        ("10.0.0.0/33", "`10.0.0.0/33` is not a valid address or range"),
        ("10.0.0", "`10.0.0` is not a valid address or range"),
        ("010.0.0.1", "`010.0.0.1` is not a valid address or range"),
        ("0x7f.1", "`0x7f.1` is not a valid host name"),
        ("::ffff:10.0.0.1", "is an IPv4 address inside an IPv6 address; write `10.0.0.1`"),
        ("[2001:db8::1", "is not a valid address or range"),
        ("[2001:db8::1]443", "is not a valid address or range"),
        (".example.org", "write `example.org` for the host itself"),
        ("GET github.com/owner/*/x", "`/owner/*/x` is not a valid path"),
        ("github.com/a/../b", "`/a/../b` is not a valid path"),
        ("GET 10.0.0.0/8", "methods and paths need a host's name; `10.0.0.0/8` is not one"),
        ("GET *", "methods and paths need a host's name; `*` is not one"),
        ("udp GET example.org", "methods and paths go by TCP; leave out `udp`"),
        ("icmp example.org:7", "echo requests have no ports; leave out `:7`"),
        ("host", "write `allow host:PORT`"),
        ("icmp host", "write `allow host:PORT`"),
        ("host:1-65535", "write `allow host:PORT`"),
        ("deny host:22", "so `deny` has nothing to close"),
    ] {
        let told = error(text);
        assert!(told.contains(expected), "{text}: {told}");
        assert!(!told.contains('\n') && !told.ends_with('.'), "{told}");
    }
}
