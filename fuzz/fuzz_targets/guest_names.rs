//! What a guest and a server say in DNS: the first bytes are the length of the guest's message, the server's response follows.
//! Whatever they say, no address that is closed enters the table of names.

#![no_main]

use std::time::Instant;

use banger_model::egress::{EgressPolicy, HostFacts};
use banger_net::names::{Asker, Frames, HostNaming, Moment, Resolver, Step, Transport};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (query, response) = rest.split_at(rest.len().min(usize::from(*length)));
    let (policy, facts) = (EgressPolicy::open(), HostFacts::default());
    let moment = Moment { now: Instant::now(), policy: &policy, facts: &facts };
    let naming = std::str::from_utf8(rest).map(|text| HostNaming::read(text, text, text)).unwrap_or_default();
    let mut resolver = Resolver::new(naming);
    let _ = Frames::default().push(rest);
    for transport in [Transport::Udp, Transport::Tcp] {
        resolver.ask(Asker::Stream(1), transport, query, &moment);
        let mut left = 20;
        while let Some(step) = resolver.step().filter(|_| left > 0) {
            left -= 1;
            if let Step::Send { exchange, transport, bytes, .. } = step {
                // With the number of the query and its question, so that it is looked at.
                let begin = if transport == Transport::Tcp { 2 } else { 0 };
                let question = bytes.get(begin..).unwrap_or_default();
                let id = question.get(..2).unwrap_or_default();
                let answer = [id, response].concat();
                resolver.receive(exchange, &answer, &moment);
                resolver.fail(exchange, &moment);
            }
        }
    }
    for closed in ["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"] {
        assert!(resolver.names().names(closed.parse().expect("an address"), moment.now).is_empty());
    }
});
