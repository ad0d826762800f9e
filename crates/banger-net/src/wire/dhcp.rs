//! Addresses for images that ask for one. The network has one guest, so everybody is given the same.
//! Source: RFC 2131, RFC 2132.

use std::net::Ipv4Addr;

use super::bytes::Bytes;
use super::ethernet::Mac;

pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: [u8; 2] = [1, 6];
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Server's name and boot file, which nobody uses.
const UNUSED_BYTES: usize = 192;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST_TYPE: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

const OPTION_PAD: u8 = 0;
const OPTION_MASK: u8 = 1;
const OPTION_ROUTER: u8 = 3;
const OPTION_NAME_SERVER: u8 = 6;
const OPTION_MTU: u8 = 26;
const OPTION_ADDRESS: u8 = 50;
const OPTION_LEASE: u8 = 51;
const OPTION_TYPE: u8 = 53;
const OPTION_SERVER: u8 = 54;
const OPTION_END: u8 = 255;

/// A day.
const LEASE_SECS: u32 = 86_400;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    transaction: [u8; 4],
    flags: [u8; 2],
    mac: Mac,
    message_type: u8,
    /// The address that it has, or wants.
    wanted: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

/// What clients are told.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) mask: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) name_server: Ipv4Addr,
    pub(crate) mtu: u16,
}

/// Reads a client's message.
pub(crate) fn read(message: &[u8]) -> Option<Question> {
    let mut bytes = Bytes(message);
    let is_request = bytes.u8()? == REQUEST && bytes.array()? == ETHERNET;
    let _hops = bytes.u8()?;
    let transaction = bytes.array()?;
    let _seconds = bytes.u16()?;
    let flags = bytes.array()?;
    let current = Ipv4Addr::from(bytes.array::<4>()?);
    let _others = bytes.take(12)?;
    let mac = bytes.array()?;
    let _padding = bytes.take(10 + UNUSED_BYTES)?;
    let is_dhcp = bytes.array()? == COOKIE;
    let mut question = Question { transaction, flags, mac, message_type: 0, wanted: None, server: None };
    question.wanted = (!current.is_unspecified()).then_some(current);
    while let Some(option) = bytes.u8().filter(|option| *option != OPTION_END) {
        if option == OPTION_PAD {
            continue;
        }
        let length = bytes.u8()?;
        match (option, bytes.take(length.into())?) {
            (OPTION_TYPE, [message_type]) => question.message_type = *message_type,
            (OPTION_ADDRESS, [a, b, c, d]) => question.wanted = Some(Ipv4Addr::new(*a, *b, *c, *d)),
            (OPTION_SERVER, [a, b, c, d]) => question.server = Some(Ipv4Addr::new(*a, *b, *c, *d)),
            _ => {}
        }
    }
    (is_request && is_dhcp).then_some(question)
}

/// Returns the answer to a client's message. `None`: it wants none.
pub(crate) fn answer(question: &Question, lease: &Lease) -> Option<Vec<u8>> {
    let is_good = question.wanted.is_none_or(|wanted| wanted == lease.address);
    let is_ours = question.server.is_none_or(|server| server == lease.gateway);
    let message_type = match question.message_type {
        DISCOVER => OFFER,
        REQUEST_TYPE if is_ours && is_good => ACK,
        REQUEST_TYPE if is_ours => NAK,
        INFORM => ACK,
        _ => return None,
    };
    let given = if message_type == NAK { Ipv4Addr::UNSPECIFIED } else { lease.address };
    let mut message = vec![REPLY];
    message.extend(ETHERNET);
    message.push(0);
    message.extend(question.transaction);
    message.extend([0, 0]);
    message.extend(question.flags);
    message.extend([0; 4]);
    message.extend(given.octets());
    message.extend(lease.gateway.octets());
    message.extend([0; 4]);
    message.extend(question.mac);
    message.extend([0; 10 + UNUSED_BYTES]);
    message.extend(COOKIE);
    message.extend([OPTION_TYPE, 1, message_type]);
    let mut option = |code: u8, value: &[u8]| {
        message.extend([code, u8::try_from(value.len()).unwrap_or_default()]);
        message.extend(value);
    };
    option(OPTION_SERVER, &lease.gateway.octets());
    if message_type != NAK {
        option(OPTION_LEASE, &LEASE_SECS.to_be_bytes());
        option(OPTION_MASK, &lease.mask.octets());
        option(OPTION_ROUTER, &lease.gateway.octets());
        option(OPTION_NAME_SERVER, &lease.name_server.octets());
        option(OPTION_MTU, &lease.mtu.to_be_bytes());
    }
    message.push(OPTION_END);
    Some(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASE: Lease = Lease {
        address: Ipv4Addr::new(10, 0, 2, 15),
        mask: Ipv4Addr::new(255, 255, 255, 0),
        gateway: Ipv4Addr::new(10, 0, 2, 2),
        name_server: Ipv4Addr::new(10, 0, 2, 3),
        mtu: 1500,
    };

    fn ask(message_type: u8, options: &[u8]) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
        message.resize(28, 0);
        message.extend([2; 6]);
        message.resize(236, 0);
        message.extend(COOKIE);
        message.extend([OPTION_TYPE, 1, message_type]);
        message.extend(options);
        message.push(OPTION_END);
        message
    }

    /// Type and address of the answer.
    fn answered(message: &[u8]) -> Option<(u8, Ipv4Addr)> {
        let answer = answer(&read(message)?, &LEASE)?;
        Some((answer[242], Ipv4Addr::new(answer[16], answer[17], answer[18], answer[19])))
    }

    #[test]
    fn whoever_asks_is_given_the_address() {
        assert_eq!(answered(&ask(DISCOVER, &[])), Some((OFFER, LEASE.address)));
        assert_eq!(
            answered(&ask(REQUEST_TYPE, &[OPTION_ADDRESS, 4, 10, 0, 2, 15])),
            Some((ACK, LEASE.address))
        );
        let other = ask(REQUEST_TYPE, &[OPTION_ADDRESS, 4, 10, 0, 2, 16]);
        assert_eq!(answered(&other), Some((NAK, Ipv4Addr::UNSPECIFIED)));
        assert_eq!(answered(&ask(REQUEST_TYPE, &[OPTION_SERVER, 4, 10, 0, 2, 9])), None, "another server's");
        assert_eq!(answered(&ask(7, &[])), None, "a release");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(options in proptest::collection::vec(any::<u8>(), 0..40), cut in 0_usize..300) {
            let message = ask(DISCOVER, &options);
            let _ = read(&message[..cut.min(message.len())]).and_then(|question| answer(&question, &LEASE));
        }
    }
}
