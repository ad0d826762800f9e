//! QUIC packets that open a connection (RFC 8999, 9000, 9369). Their hello is encrypted with a key that everybody can derive,
//! but it can be spread over many packets, so it is not looked for: a client falls back to TCP.

/// Versions in use: 1, 2, drafts, and numbers that are reserved for tests of negotiation. Google's own begin with `Q` or `T`.
fn is_version(version: [u8; 4]) -> bool {
    match version {
        [0, 0, 0, 1] | [0x6b, 0x33, 0x43, 0xcf] | [0xff, 0, 0, _] | [b'Q' | b'T', b'0', _, _] => true,
        version => version.iter().all(|byte| byte & 0x0f == 0x0a),
    }
}

/// Tells whether a datagram of a client opens a QUIC connection.
#[must_use]
pub fn is_quic(datagram: &[u8]) -> bool {
    let [first, a, b, c, d, rest @ ..] = datagram else { return false };
    // The long header. The next bit is fixed in versions 1 and 2, but may be hidden (RFC 9287).
    if first & 0x80 == 0 || !is_version([*a, *b, *c, *d]) {
        return false;
    }
    let after_id = |bytes: &[u8]| {
        let (length, rest) = bytes.split_first()?;
        rest.get(usize::from(*length)..).map(<[u8]>::to_vec)
    };
    after_id(rest).as_deref().and_then(after_id).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn initial(version: [u8; 4]) -> Vec<u8> {
        [&[0xc3][..], &version, &[8], &[1; 8], &[0], &[0], &[0x44, 0x9e], &[9; 1100]].concat()
    }

    #[test]
    fn packets_that_open_a_connection_are_known() {
        for version in [
            [0, 0, 0, 1],
            [0x6b, 0x33, 0x43, 0xcf],
            [0xff, 0, 0, 29],
            *b"Q050",
            *b"T051",
            [0x1a, 0x2a, 0x3a, 0x4a],
        ] {
            assert!(is_quic(&initial(version)), "{version:?}");
            let hidden_bit = [&[0x83], &initial(version)[1..]].concat();
            assert!(is_quic(&hidden_bit));
        }
    }

    #[test]
    fn datagrams_of_other_protocols_are_not() {
        // A query and a response of DNS, a request of NTP, DTLS, WireGuard, STUN, and a QUIC packet of an open connection.
        for other in [
            &[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            &[0xc2, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 0],
            &[0xe3, 0, 4, 0xfa, 0, 1, 0, 0, 0, 1, 0, 0],
            &[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50],
            &[1, 0, 0, 0, 9, 9, 9, 9, 9, 9],
            &[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3],
            &[0x43, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            &initial([0, 0, 0, 1])[..12],
            &[],
        ] {
            assert!(!is_quic(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = is_quic(&bytes);
        }
    }
}
