use hickory_proto::rr::rdata::TXT;
use proptest::prelude::*;

use super::*;

fn query(name: &str, kind: RecordType, payload: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    message.add_query(Question::query(Name::from_labels(labels).unwrap(), kind));
    message.edns = payload.map(|payload| edns().set_max_payload(payload).clone());
    to_bytes(&message)
}

fn reply_of(bytes: &[u8]) -> Message {
    match Query::read(bytes, Transport::Udp) {
        Err(Unreadable::Reply(reply)) => Message::from_vec(&reply).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_query_is_read_and_answered_as_it_was_written() {
    let read = Query::read(&query("WWW.Example.org.", RecordType::A, Some(1400)), Transport::Udp).unwrap();
    assert_eq!((read.name.as_str(), read.kind, read.bytes_max), ("www.example.org", RecordType::A, 1232));
    let records = vec![address_record(&read.name, "192.0.2.1".parse().unwrap(), 300)];
    let answer = Answer { records, ..Answer::of_code(ResponseCode::NoError) };
    let reply = Message::from_vec(&read.reply(&answer, 100)).unwrap();
    assert_eq!((reply.metadata.id, reply.metadata.message_type), (7, MessageType::Response));
    assert!(
        reply.metadata.recursion_desired
            && reply.metadata.recursion_available
            && !reply.metadata.authentic_data
    );
    assert_eq!(reply.queries[0].name().to_ascii(), "WWW.Example.org.");
    assert_eq!(
        (reply.answers[0].ttl, reply.answers[0].data.ip_addr()),
        (200, Some("192.0.2.1".parse().unwrap()))
    );
    assert_eq!(reply.edns.map(|edns| edns.max_payload()), Some(1232));
}

#[test]
fn what_is_too_long_for_a_datagram_is_left_out_and_goes_by_tcp() {
    let text = Record::from_rdata(Name::root(), 1, RData::TXT(TXT::new(vec!["x".repeat(250); 4])));
    let answer = Answer { records: vec![text], ..Answer::of_code(ResponseCode::NoError) };
    for (payload, transport, is_whole) in [
        (None, Transport::Udp, false),
        (Some(600), Transport::Udp, false),
        (Some(4096), Transport::Udp, true),
        (None, Transport::Tcp, true),
    ] {
        let read = Query::read(&query("a.org.", RecordType::TXT, payload), transport).unwrap();
        let bytes = read.reply(&answer, 0);
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!((reply.metadata.truncation, reply.answers.len()), (!is_whole, usize::from(is_whole)));
        assert!(bytes.len() <= usize::from(read.bytes_max) && reply.queries.len() == 1);
    }
}

#[test]
fn what_is_no_query_of_a_host_is_refused_or_dropped() {
    let whole = query("a.org.", RecordType::A, None);
    for silent in [&[][..], &whole[..11], &[&whole[..2], &[0x81], &whole[3..]].concat()] {
        assert_eq!(Query::read(silent, Transport::Udp).unwrap_err(), Unreadable::Silence);
    }
    let code = |bytes: &[u8]| reply_of(bytes).metadata.response_code;
    assert_eq!(code(&whole[..whole.len() - 1]), ResponseCode::FormErr);
    assert_eq!(code(&[&whole[..2], &[0x20], &whole[3..]].concat()), ResponseCode::NotImp);
    assert_eq!(code(&[&whole[..5], &[0], &whole[6..12]].concat()), ResponseCode::FormErr);
    let chaos = [&whole[..whole.len() - 1], &[3]].concat();
    assert_eq!(code(&chaos), ResponseCode::Refused);
    for name in [".", "1.2.3.4.", "a b.org.", "a@b.org."] {
        let reply = reply_of(&query(name, RecordType::A, None));
        assert_eq!((reply.metadata.response_code, reply.metadata.id), (ResponseCode::NXDomain, 7), "{name}");
    }
    let dot_inside = Name::from_labels([&b"a.org"[..], b"evil"]).unwrap();
    assert_eq!(host_name(&dot_inside), None);
}

#[test]
fn nothing_but_name_and_type_goes_to_a_server() {
    let name = "a.example".parse().unwrap();
    let (id, bytes) = query_to_server(&name, RecordType::AAAA, true);
    let sent = Message::from_vec(&bytes).unwrap();
    assert_eq!((sent.metadata.id, sent.metadata.recursion_desired, sent.queries.len()), (id, true, 1));
    assert!(sent.edns.unwrap().options().as_ref().is_empty());
    assert!(sent.answers.is_empty() && sent.authorities.is_empty() && sent.additionals.is_empty());
    assert!(Message::from_vec(&query_to_server(&name, RecordType::A, false).1).unwrap().edns.is_none());
}

#[test]
fn a_response_must_answer_the_query() {
    let name: HostName = "a.example".parse().unwrap();
    let mut message =
        error(9, ResponseCode::NoError, Some(&Question::query(wire_name(&name), RecordType::A)));
    let bytes = to_bytes(&message);
    assert!(read_response(&bytes, 9, &name, RecordType::A).is_some());
    assert!(read_response(&bytes, 8, &name, RecordType::A).is_none());
    assert!(read_response(&bytes, 9, &name, RecordType::AAAA).is_none());
    assert!(read_response(&bytes, 9, &"b.example".parse().unwrap(), RecordType::A).is_none());
    message.metadata.message_type = MessageType::Query;
    assert!(read_response(&to_bytes(&message), 9, &name, RecordType::A).is_none());
    let bare = to_bytes(&error(9, ResponseCode::FormErr, None));
    assert!(read_response(&bare, 9, &name, RecordType::A).is_some());
}

proptest! {
    #[test]
    fn every_name_of_a_host_can_be_written_and_read(labels in proptest::collection::vec("[a-z_]([a-z0-9_-]{0,20}[a-z0-9])?", 1..6)) {
        if let Ok(name) = labels.join(".").parse::<HostName>() {
            prop_assert_eq!(host_name(&wire_name(&name)), Some(name));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..60, at in 0_usize..60, to: u8) {
        let _ = Query::read(&bytes, Transport::Udp);
        let mut whole = query("www.example.org.", RecordType::A, Some(1232));
        whole.truncate(whole.len().saturating_sub(cut));
        if let Some(byte) = whole.get_mut(at) {
            *byte = to;
        }
        let _ = Query::read(&whole, Transport::Tcp);
        let _ = read_response(&whole, 7, &"a".parse().unwrap(), RecordType::A);
    }
}
