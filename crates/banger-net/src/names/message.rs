//! Messages of DNS: queries of the guest, replies to it, and what is sent to the host's servers. Queries to servers are written
//! anew, so that nothing of a guest's message but name and type leaves the host.

use std::net::IpAddr;

use banger_model::egress::HostName;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Shortest message: its header.
const HEADER_BYTES: usize = 12;
/// Largest datagram that is sent to a guest that accepts as much, and that servers are told to send. It passes every link
/// without fragments (RFC 9715).
pub(super) const DATAGRAM_BYTES_MAX: u16 = 1232;
/// Largest datagram to a guest that says nothing.
const DATAGRAM_BYTES: u16 = 512;

/// How a message came, and how its reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message in a datagram.
    Udp,
    /// Messages in a stream, each behind its length in two bytes.
    Tcp,
}

/// A query of a guest.
#[derive(Clone, Debug)]
pub(super) struct Query {
    id: u16,
    /// As the guest wrote it. Some compare the case of letters with the reply.
    written: Name,
    pub(super) name: HostName,
    pub(super) kind: RecordType,
    bytes_max: u16,
    recursion_desired: bool,
    has_edns: bool,
}

/// The reason why a message is not a query that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is dropped.
    Silence,
    /// It gets this reply.
    Reply(Vec<u8>),
}

/// What a query is answered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    /// In order: aliases, then what they lead to.
    pub(super) records: Vec<Record>,
    /// Says how long it is true that there is no record.
    pub(super) authority: Option<Record>,
}

impl Answer {
    pub(super) fn of_code(code: ResponseCode) -> Self {
        Self { code, records: Vec::new(), authority: None }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.records.iter().filter_map(|record| record.data.ip_addr())
    }
}

impl Query {
    pub(super) fn read(bytes: &[u8], transport: Transport) -> Result<Self, Unreadable> {
        let (Some([high, low]), true) = (bytes.first_chunk::<2>(), bytes.len() >= HEADER_BYTES) else {
            return Err(Unreadable::Silence);
        };
        let id = u16::from_be_bytes([*high, *low]);
        // A response that is answered comes back for ever.
        if bytes.get(2).is_none_or(|flags| flags & 0x80 != 0) {
            return Err(Unreadable::Silence);
        }
        let refuse = |code| Unreadable::Reply(to_bytes(&error(id, code, None)));
        let Ok(message) = Message::from_vec(bytes) else { return Err(refuse(ResponseCode::FormErr)) };
        if message.metadata.op_code != OpCode::Query {
            return Err(refuse(ResponseCode::NotImp));
        }
        let [question] = message.queries.as_slice() else { return Err(refuse(ResponseCode::FormErr)) };
        let answer = |code| Unreadable::Reply(to_bytes(&error(id, code, Some(question))));
        if question.query_class() != DNSClass::IN {
            return Err(answer(ResponseCode::Refused));
        }
        // No host has a name that is not one.
        let name = host_name(question.name()).ok_or_else(|| answer(ResponseCode::NXDomain))?;
        let payload = message.edns.as_ref().map_or(DATAGRAM_BYTES, Edns::max_payload);
        Ok(Self {
            id,
            written: question.name().clone(),
            name,
            kind: question.query_type(),
            bytes_max: match transport {
                Transport::Udp => payload.clamp(DATAGRAM_BYTES, DATAGRAM_BYTES_MAX),
                Transport::Tcp => u16::MAX,
            },
            recursion_desired: message.metadata.recursion_desired,
            has_edns: message.edns.is_some(),
        })
    }

    /// Writes the reply, with records as old as said. What is too long for a datagram is left out, and the guest asks by TCP.
    pub(super) fn reply(&self, answer: &Answer, age_secs: u32) -> Vec<u8> {
        let mut message = error(self.id, answer.code, None);
        message.metadata.recursion_desired = self.recursion_desired;
        message.add_query(Question::query(self.written.clone(), self.kind));
        message.edns = self.has_edns.then(edns);
        let aged = |record: &Record| {
            let mut record = record.clone();
            record.decrement_ttl(age_secs);
            record
        };
        message.answers = answer.records.iter().map(aged).collect();
        message.authorities = answer.authority.iter().map(aged).collect();
        let bytes = to_bytes(&message);
        if bytes.len() <= usize::from(self.bytes_max) { bytes } else { to_bytes(&message.truncate()) }
    }
}

fn error(id: u16, code: ResponseCode, question: Option<&Question>) -> Message {
    let mut message = Message::error_msg(id, OpCode::Query, code);
    message.metadata.recursion_available = true;
    message.add_queries(question.cloned());
    message
}

/// Writes a query to a server, and returns the number by which its response is known. It cannot be guessed.
pub(super) fn query_to_server(name: &HostName, kind: RecordType, has_edns: bool) -> (u16, Vec<u8>) {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(wire_name(name), kind));
    message.edns = has_edns.then(edns);
    (message.metadata.id, to_bytes(&message))
}

/// Reads the response of a server to a query; `None`: it answers something else.
pub(super) fn read_response(bytes: &[u8], id: u16, name: &HostName, kind: RecordType) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let is_response = message.metadata.message_type == MessageType::Response && message.metadata.id == id;
    let is_answered = match message.queries.as_slice() {
        [question] => question.query_type() == kind && host_name(question.name()).as_ref() == Some(name),
        // Some servers leave the question out when they do not understand the query.
        [] => message.metadata.response_code != ResponseCode::NoError && message.answers.is_empty(),
        _ => false,
    };
    (is_response && is_answered).then_some(message)
}

fn edns() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM_BYTES_MAX);
    edns
}

fn to_bytes(message: &Message) -> Vec<u8> {
    // It fails for names and records that are too long, and none of ours is.
    message.to_vec().unwrap_or_default()
}

/// Returns the name of a host; `None`: it has bytes that such a name does not have, or is the root.
pub(super) fn host_name(name: &Name) -> Option<HostName> {
    let mut text = String::new();
    for label in name {
        let label =
            std::str::from_utf8(label).ok().filter(|label| label.is_ascii() && !label.contains('.'))?;
        text.push_str(label);
        text.push('.');
    }
    text.parse().ok()
}

pub(super) fn wire_name(name: &HostName) -> Name {
    let name = Name::from_labels(name.labels().map(str::as_bytes));
    // A host's name has the same limits.
    name.unwrap_or_default()
}

pub(super) fn address_record(name: &HostName, address: IpAddr, ttl_secs: u32) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(wire_name(name), ttl_secs, data)
}

pub(super) fn alias_record(name: &HostName, target: &HostName, ttl_secs: u32) -> Record {
    Record::from_rdata(wire_name(name), ttl_secs, RData::CNAME(CNAME(wire_name(target))))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
