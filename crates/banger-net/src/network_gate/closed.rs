//! Where a guest has no business: a rule over addresses, without any look at the host.

use std::net::Ipv4Addr;

use super::frame::Transport;
use super::prefix::Prefix;
use crate::user_network::subnet::{NAME_SERVER, SUBNET};

const DNS_PORT: u16 = 53;

/// Closed whatever the host's own addresses are.
const ALWAYS: [Prefix; 9] = [
    // Linux takes every address of 0.0.0.0/8 that it does not route for itself.
    Prefix::new([0, 0, 0, 0], 8),
    Prefix::new([127, 0, 0, 0], 8),
    // Link-local: a cloud's metadata service gives its host's credentials to whoever asks.
    Prefix::new([169, 254, 0, 0], 16),
    // The metadata services of Azure, Alibaba Cloud and Oracle (in IANA's range for protocols) have addresses of their own.
    Prefix::new([168, 63, 129, 16], 32),
    Prefix::new([100, 100, 100, 200], 32),
    Prefix::new([192, 0, 0, 0], 24),
    // Multicast, reserved and broadcast.
    Prefix::new([224, 0, 0, 0], 4),
    Prefix::new([240, 0, 0, 0], 4),
    // The network between guest and gateway. passt gives the gateway's address to what programs of the host send.
    SUBNET,
];

/// The rule. `host` are the addresses that are the host's own.
pub(super) fn may_reach(destination: Ipv4Addr, transport: Transport, host: &[Prefix]) -> bool {
    if destination == NAME_SERVER {
        return match transport {
            Transport::Tcp { destination, .. } | Transport::Udp { destination, .. } => {
                destination == DNS_PORT
            }
            Transport::Echo { .. } => false,
        };
    }
    !ALWAYS.iter().chain(host).any(|closed| closed.holds(destination))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reaches(destination: [u8; 4]) -> bool {
        let host = [Prefix::new([192, 0, 2, 2], 32), Prefix::new([203, 0, 113, 0], 24)];
        let transports = [
            Transport::Tcp { source: 4000, destination: 80, acknowledgement: None },
            Transport::Udp { source: 4000, destination: 80 },
            Transport::Echo { is_request: true, id: 1 },
        ];
        let answers = transports.map(|transport| may_reach(destination.into(), transport, &host));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{destination:?}");
        answers[0]
    }

    #[test]
    fn the_world_is_open_and_the_host_is_not() {
        for world in [
            [198, 51, 100, 1],
            [192, 0, 2, 1],
            [192, 0, 2, 3],
            [128, 0, 0, 1],
            [1, 1, 1, 1],
            [10, 0, 3, 1],
            [169, 253, 255, 255],
            [223, 255, 255, 255],
        ] {
            assert!(reaches(world), "{world:?}");
        }
        for host in [
            [127, 0, 0, 1],
            [127, 255, 0, 53],
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [192, 0, 2, 2],
            [203, 0, 113, 0],
            [203, 0, 113, 77],
            [203, 0, 113, 255],
            [10, 0, 2, 2],
            [10, 0, 2, 15],
            [10, 0, 2, 3],
            [10, 0, 2, 255],
        ] {
            assert!(!reaches(host), "{host:?}");
        }
    }

    #[test]
    fn what_belongs_to_the_link_or_to_many_is_closed() {
        for closed in [
            [169, 254, 169, 254],
            [169, 254, 0, 1],
            [168, 63, 129, 16],
            [100, 100, 100, 200],
            [192, 0, 0, 192],
            [224, 0, 0, 251],
            [239, 255, 255, 250],
            [240, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            assert!(!reaches(closed), "{closed:?}");
        }
    }

    #[test]
    fn the_name_server_answers_names_only() {
        let reaches = |transport| may_reach(NAME_SERVER, transport, &[]);
        assert!(reaches(Transport::Udp { source: 4000, destination: 53 }));
        assert!(reaches(Transport::Tcp { source: 4000, destination: 53, acknowledgement: None }));
        for port in [22, 80, 52, 54, 853, 5353] {
            assert!(!reaches(Transport::Udp { source: 53, destination: port }), "{port}");
            assert!(
                !reaches(Transport::Tcp { source: 53, destination: port, acknowledgement: None }),
                "{port}"
            );
        }
        assert!(!reaches(Transport::Echo { is_request: true, id: 53 }));
    }

    proptest! {
        #[test]
        fn a_prefix_holds_what_begins_like_it(address: u32, other: u32, length in 0_u8..=32) {
            let prefix = Prefix::new(address.to_be_bytes(), length);
            let has_same_begin = length == 0 || (address ^ other) >> (32 - length) == 0;
            prop_assert_eq!(prefix.holds(Ipv4Addr::from_bits(other)), has_same_begin);
            prop_assert!(prefix.holds(Ipv4Addr::from_bits(address)));
        }
    }
}
