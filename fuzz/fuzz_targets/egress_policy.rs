//! Egress policies: an accepted policy stays the same when it is written and read again, and opens nothing that cannot be opened.

#![no_main]

use std::net::IpAddr;

use banger_model::egress::{AddressClass, Attempt, EgressPolicy, HostFacts, HostName, Protocol, RequestPath, Verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(path) = RequestPath::of_target(text) {
        assert_eq!(RequestPath::of_target(path.as_str()), Some(path));
    }
    let names: Vec<HostName> = text.parse().into_iter().collect();
    let policy = match text.parse::<EgressPolicy>() {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    assert_eq!(policy.to_string().parse::<EgressPolicy>().as_ref(), Ok(&policy));
    let facts = HostFacts::default();
    for address in ["127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "10.0.0.1", "198.51.100.1", "2001:db8::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let attempt = Attempt { protocol: Protocol::Tcp, address, port: 443, names: &names };
        let can_be_opened = AddressClass::of(address, &facts).can_be_opened();
        assert!(can_be_opened || matches!(policy.decide(&attempt, &facts), Verdict::Refuse(_)));
    }
});
