use banger_model::egress::{EgressPolicy, HostFacts};
use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::rdata::{HTTPS, SOA, SVCB, TXT};
use hickory_proto::rr::{Name, RData, Record};
use proptest::prelude::*;

use super::super::super::frames::framed;
use super::super::super::message::{alias_record, wire_name};
use super::*;

const RESOLV_CONF: &str =
    "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch corp.example\noptions attempts:2 timeout:3\n";
const HOSTS: &str = "127.0.0.1 localhost\n198.51.100.9 db\n127.0.1.1 thishost\n10.9.9.9 inner\n";

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A resolver with its policy and a time of its own.
struct World {
    resolver: Resolver,
    policy: EgressPolicy,
    facts: HostFacts,
    now: Instant,
}

/// What was sent to a server.
struct Asked {
    exchange: Exchange,
    server: String,
    transport: Transport,
    message: Message,
}

impl World {
    fn new(policy: &str) -> Self {
        Self::with(policy, RESOLV_CONF, "")
    }

    fn with(policy: &str, resolv_conf: &str, nsswitch: &str) -> Self {
        Self {
            resolver: Resolver::new(HostNaming::read(resolv_conf, HOSTS, nsswitch)),
            policy: policy.parse().unwrap(),
            facts: HostFacts { own: vec!["192.0.2.2/32".parse().unwrap()], ..HostFacts::default() },
            now: Instant::now(),
        }
    }

    fn call(&mut self, act: impl FnOnce(&mut Resolver, &Moment<'_>)) {
        let moment = Moment { now: self.now, policy: &self.policy, facts: &self.facts };
        act(&mut self.resolver, &moment);
    }

    fn ask(&mut self, asker: u64, host: &str, kind: RecordType) {
        let mut message = Message::new(u16::try_from(asker).unwrap(), MessageType::Query, OpCode::Query);
        message.add_query(Question::query(Name::from_ascii(host).unwrap(), kind));
        let bytes = message.to_vec().unwrap();
        self.call(|resolver, moment| resolver.ask(Asker::Stream(asker), Transport::Tcp, &bytes, moment));
    }

    /// Expects that the next step asks a server.
    fn asked(&mut self) -> Asked {
        loop {
            match self.resolver.step() {
                Some(Step::Send { exchange, server, transport, bytes }) => {
                    let bytes = if transport == Transport::Tcp { &bytes[2..] } else { &bytes[..] };
                    let message = Message::from_vec(bytes).unwrap();
                    return Asked { exchange, server: server.to_string(), transport, message };
                }
                Some(Step::Close { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Responds to what was asked.
    fn respond(&mut self, asked: &Asked, edit: impl FnOnce(&mut Message)) {
        let mut message = Message::error_msg(asked.message.metadata.id, OpCode::Query, ResponseCode::NoError);
        message.add_queries(asked.message.queries.clone());
        edit(&mut message);
        let mut bytes = message.to_vec().unwrap();
        if asked.transport == Transport::Tcp {
            bytes = framed(&bytes).unwrap();
        }
        self.call(|resolver, moment| resolver.receive(asked.exchange, &bytes, moment));
    }

    /// Expects that the next steps end with an answer, and returns it in words, with what was refused.
    fn answer(&mut self) -> (u64, String) {
        let mut refused = String::new();
        loop {
            match self.resolver.step() {
                Some(Step::Answer { asker, message }) => {
                    let Asker::Stream(asker) = asker else { panic!("{asker:?}") };
                    return (asker, words(&Message::from_vec(&message).unwrap()) + &refused);
                }
                Some(Step::Refused { attempted, refusal }) => refused = format!(" [{attempted}: {refusal}]"),
                Some(Step::Close { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn told(&mut self, host: &str, kind: RecordType) -> String {
        self.ask(1, host, kind);
        self.answer().1
    }

    fn names(&self, address: &str) -> Vec<String> {
        self.resolver.names().names(ip(address), self.now).iter().map(ToString::to_string).collect()
    }

    fn pass(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }
}

fn words(message: &Message) -> String {
    let records = message
        .answers
        .iter()
        .map(|record| format!(" {} {}", record.name.to_ascii().trim_end_matches('.'), record.data));
    format!("{:?}{}", message.metadata.response_code, records.collect::<String>())
}

fn record(host: &str, address: &str, ttl_secs: u32) -> Record {
    address_record(&name(host), ip(address), ttl_secs)
}

fn alias(host: &str, target: &str) -> Record {
    alias_record(&name(host), &name(target), 300)
}

#[test]
fn a_name_is_asked_once_and_its_addresses_are_known_until_they_are_invalid() {
    let mut world = World::new("default allow");
    world.ask(1, "A.org.", RecordType::A);
    world.ask(2, "a.org.", RecordType::A);
    let asked = world.asked();
    assert_eq!((asked.server.as_str(), asked.transport), ("192.0.2.53:53", Transport::Udp));
    assert_eq!(asked.message.queries[0].name().to_ascii(), "a.org.");
    world.respond(&asked, |message| {
        message.add_answer(record("a.org", "198.51.100.1", 100));
    });
    assert_eq!(world.answer(), (1, "NoError a.org 198.51.100.1".into()));
    assert_eq!(world.answer(), (2, "NoError a.org 198.51.100.1".into()));
    assert_eq!(world.names("198.51.100.1"), ["a.org"]);
    world.pass(60);
    assert_eq!(world.told("a.org.", RecordType::A), "NoError a.org 198.51.100.1");
    world.pass(40 + 59);
    assert_eq!(world.names("198.51.100.1"), ["a.org"]);
    world.pass(1);
    assert_eq!(world.names("198.51.100.1"), [""; 0]);
    world.ask(3, "a.org.", RecordType::A);
    world.asked();
}

#[test]
fn names_that_are_not_allowed_do_not_exist_and_are_not_asked_for() {
    let mut world = World::new("*.a.org:443");
    assert_eq!(world.told("b.org.", RecordType::A), "NXDomain [lookup of b.org: no rule allows it]");
    assert_eq!(
        world.told("secret.tunnel.net.", RecordType::TXT),
        "NXDomain [lookup of secret.tunnel.net: no rule allows it]"
    );
    world.ask(1, "x.a.org.", RecordType::A);
    assert_eq!(world.asked().message.queries[0].name().to_ascii(), "x.a.org.");
}

#[test]
fn answers_that_lead_to_closed_addresses_are_withheld() {
    let mut world = World::new("default allow");
    world.ask(1, "evil.org.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| {
        for address in ["127.0.0.1", "198.51.100.1", "10.0.0.1", "192.0.2.2", "169.254.169.254"] {
            message.add_answer(record("evil.org", address, 100));
        }
    });
    let withheld = " [lookup of evil.org: resolves to 127.0.0.1, and a loopback address is closed]";
    assert_eq!(world.answer(), (1, format!("NoError evil.org 198.51.100.1{withheld}")));
    for closed in ["127.0.0.1", "10.0.0.1", "192.0.2.2"] {
        assert_eq!(world.names(closed), [""; 0]);
    }
    world.ask(2, "evil.org.", RecordType::AAAA);
    let asked = world.asked();
    world.respond(&asked, |message| {
        for address in ["::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1", "2002:7f00:1::"] {
            message.add_answer(record("evil.org", address, 100));
        }
    });
    assert_eq!(
        world.answer().1,
        "NoError [lookup of evil.org: resolves to ::1, and a loopback address is closed]"
    );

    world.policy = "lan".parse().unwrap();
    assert_eq!(world.told("evil.org.", RecordType::A), "NXDomain [lookup of evil.org: no rule allows it]");
    world.policy = "evil.org\nlan".parse().unwrap();
    assert!(
        world.told("evil.org.", RecordType::A).contains("198.51.100.1 evil.org 10.0.0.1 ["),
        "now with the LAN"
    );
    assert_eq!(world.names("10.0.0.1"), ["evil.org"]);
}

#[test]
fn aliases_are_followed_and_what_does_not_belong_to_them_is_dropped() {
    let mut world = World::new("www.a.org\n*\ndeny *.ads.net");
    world.ask(1, "www.a.org.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.add_answer(record("edge.cdn.net", "198.51.100.1", 30));
        message.add_answer(alias("mid.cdn.net", "edge.cdn.net"));
        message.add_answer(alias("www.a.org", "mid.cdn.net"));
        message.add_answer(record("bank.org", "198.51.100.66", 30));
        message.add_additional(record("bank.org", "198.51.100.66", 30));
    });
    assert_eq!(
        world.answer().1,
        "NoError www.a.org mid.cdn.net. mid.cdn.net edge.cdn.net. edge.cdn.net 198.51.100.1"
    );
    assert_eq!(world.names("198.51.100.1"), ["www.a.org"]);
    assert_eq!(world.names("198.51.100.66"), [""; 0]);

    world.ask(1, "cloaked.org.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.add_answer(alias("cloaked.org", "x.ads.net"));
        message.add_answer(record("x.ads.net", "198.51.100.1", 30));
    });
    assert_eq!(world.answer().1, "NXDomain [lookup of cloaked.org: denied by `deny *.ads.net`]");

    world.ask(1, "loop.org.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.add_answer(alias("loop.org", "pool.org"));
        message.add_answer(alias("pool.org", "loop.org"));
    });
    assert_eq!(world.answer().1, "ServFail");
}

#[test]
fn servers_are_asked_in_turn_until_one_answers() {
    let mut world = World::new("default allow");
    world.ask(1, "a.org.", RecordType::A);
    let first = world.asked();
    assert_eq!(world.resolver.deadline(), Some(world.now + Duration::from_secs(3)));
    world.pass(2);
    world.call(Resolver::tick);
    assert_eq!(world.resolver.step(), None);
    world.pass(1);
    world.call(Resolver::tick);
    let second = world.asked();
    assert_eq!(second.server, "192.0.2.54:53");
    world.respond(&first, |message| {
        message.add_answer(record("a.org", "198.51.100.66", 100));
    });
    assert_eq!(world.resolver.step(), None, "too late");
    world.respond(&second, |message| message.metadata.response_code = ResponseCode::ServFail);
    let third = world.asked();
    assert_eq!(third.server, "192.0.2.53:53");
    world.call(|resolver, moment| resolver.fail(third.exchange, moment));
    let fourth = world.asked();
    assert_eq!(fourth.server, "192.0.2.54:53");
    world.respond(&fourth, |message| message.metadata.response_code = ResponseCode::Refused);
    assert_eq!(world.answer().1, "ServFail");
    assert_eq!(world.resolver.deadline(), None);
}

#[test]
fn servers_rotate_if_the_host_says_so() {
    let mut world =
        World::with("default allow", "nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions rotate", "");
    let servers = ["a.org.", "b.org.", "c.org."].map(|host| {
        world.ask(1, host, RecordType::A);
        world.asked().server
    });
    assert_eq!(servers, ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.1:53"]);
}

#[test]
fn a_truncated_response_is_asked_for_by_tcp_and_an_old_server_without_edns() {
    let mut world = World::with("default allow", "nameserver 127.0.0.53", "");
    world.ask(1, "a.org.", RecordType::A);
    let asked = world.asked();
    assert_eq!(asked.message.edns.as_ref().map(hickory_proto::op::Edns::max_payload), Some(1232));
    world.respond(&asked, |message| message.metadata.response_code = ResponseCode::FormErr);
    let plain = world.asked();
    assert!(plain.message.edns.is_none() && plain.server == "127.0.0.53:53");
    world.respond(&plain, |message| message.metadata.truncation = true);
    let stream = world.asked();
    assert_eq!((stream.transport, stream.server.as_str()), (Transport::Tcp, "127.0.0.53:53"));
    let mut message = Message::error_msg(stream.message.metadata.id, OpCode::Query, ResponseCode::NoError);
    message.add_queries(stream.message.queries.clone());
    message.add_answer(record("a.org", "198.51.100.1", 100));
    let bytes = framed(&message.to_vec().unwrap()).unwrap();
    for byte in &bytes[..bytes.len() - 1] {
        world.call(|resolver, moment| resolver.receive(stream.exchange, &[*byte], moment));
        assert_eq!(world.resolver.step(), None);
    }
    world.call(|resolver, moment| resolver.receive(stream.exchange, &bytes[bytes.len() - 1..], moment));
    assert_eq!(world.answer().1, "NoError a.org 198.51.100.1");
}

#[test]
fn a_forged_datagram_is_ignored() {
    let mut world = World::new("default allow");
    world.ask(1, "a.org.", RecordType::A);
    let asked = world.asked();
    for forge in [
        |message: &mut Message| message.metadata.id = message.metadata.id.wrapping_add(1),
        |message: &mut Message| message.metadata.message_type = MessageType::Query,
        |message: &mut Message| {
            message.queries = vec![Question::query(wire_name(&name("b.org")), RecordType::A)];
        },
    ] {
        world.respond(&asked, |message| {
            message.add_answer(record("a.org", "198.51.100.66", 100));
            forge(message);
        });
        assert_eq!(world.resolver.step(), None);
    }
    world.call(|resolver, moment| resolver.receive(asked.exchange, b"odd", moment));
    world.respond(&asked, |message| {
        message.add_answer(record("a.org", "198.51.100.1", 100));
    });
    assert_eq!(world.answer().1, "NoError a.org 198.51.100.1");
}

#[test]
fn the_hosts_file_is_looked_at_in_the_order_of_the_host() {
    let mut world = World::new("default allow");
    assert_eq!(world.told("DB.", RecordType::A), "NoError db 198.51.100.9");
    assert_eq!(world.names("198.51.100.9"), ["db"]);
    assert_eq!(world.told("db.", RecordType::AAAA), "NoError");
    assert!(
        world
            .told("thishost.", RecordType::A)
            .starts_with("NoError [lookup of thishost: resolves to 127.0.1.1")
    );
    assert!(
        world.told("inner.", RecordType::A).starts_with("NoError [lookup of inner: resolves to 10.9.9.9")
    );
    assert_eq!(world.told("localhost.", RecordType::A), "NoError localhost 127.0.0.1");
    assert_eq!(world.told("x.localhost.", RecordType::AAAA), "NoError x.localhost ::1");
    assert_eq!(world.names("127.0.0.1"), [""; 0]);

    let mut files = World::with("default allow", RESOLV_CONF, "hosts: files");
    assert_eq!(files.told("a.org.", RecordType::A), "NXDomain");
    let mut servers_first = World::with("default allow", "nameserver 192.0.2.1", "hosts: dns files");
    servers_first.ask(1, "db.", RecordType::A);
    let asked = servers_first.asked();
    servers_first.respond(&asked, |message| message.metadata.response_code = ResponseCode::NXDomain);
    assert_eq!(servers_first.answer().1, "NoError db 198.51.100.9");
}

#[test]
fn a_name_of_one_label_is_looked_up_in_the_hosts_domains() {
    let mut world = World::new("default allow");
    world.ask(1, "wiki.", RecordType::A);
    let asked = world.asked();
    assert_eq!(asked.message.queries[0].name().to_ascii(), "wiki.corp.example.");
    world.respond(&asked, |message| {
        message.add_answer(record("wiki.corp.example", "198.51.100.1", 100));
    });
    assert_eq!(world.answer().1, "NoError wiki wiki.corp.example. wiki.corp.example 198.51.100.1");
    assert_eq!(world.names("198.51.100.1"), ["wiki", "wiki.corp.example"]);

    world.ask(1, "gone.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| message.metadata.response_code = ResponseCode::NXDomain);
    let asked = world.asked();
    assert_eq!(asked.message.queries[0].name().to_ascii(), "gone.");
    world.respond(&asked, |message| message.metadata.response_code = ResponseCode::NXDomain);
    assert_eq!(world.answer().1, "NXDomain");

    world.policy = "other.corp.example".parse().unwrap();
    world.ask(1, "other.", RecordType::A);
    assert_eq!(world.asked().message.queries[0].name().to_ascii(), "other.corp.example.");
    assert!(world.told("wiki.", RecordType::A).contains("no rule allows it"));
}

#[test]
fn queries_that_carry_data_or_hide_names_are_not_answered() {
    let mut world = World::new("default allow");
    for kind in [RecordType::ANY, RecordType::AXFR, RecordType::IXFR, RecordType::NULL] {
        assert_eq!(
            world.told("a.org.", kind),
            "Refused [lookup of a.org: queries of this kind are not answered]"
        );
    }
    world.ask(1, "a.org.", RecordType::TXT);
    let asked = world.asked();
    world.respond(&asked, |message| {
        for number in 0..20 {
            let data = RData::TXT(TXT::new(vec![format!("{number:0>250}")]));
            message.add_answer(Record::from_rdata(wire_name(&name("a.org")), 1, data));
        }
    });
    assert_eq!(world.answer().1, "Refused [lookup of a.org: queries of this kind are not answered]");
    let keys = || {
        let data = RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), Vec::new())));
        Record::from_rdata(wire_name(&name("k.org")), 60, data)
    };
    world.ask(1, "k.org.", RecordType::HTTPS);
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.add_answer(keys());
    });
    assert!(world.answer().1.starts_with("NoError k.org 1 ."));
    world.policy = "default allow\ndeny b.org".parse().unwrap();
    assert_eq!(world.told("k.org.", RecordType::HTTPS), "NoError");
    for closed in ["1.0.0.127.in-addr.arpa.", "9.9.9.10.in-addr.arpa."] {
        assert!(world.told(closed, RecordType::PTR).starts_with("NXDomain ["), "{closed}");
    }
}

#[test]
fn the_absence_of_a_name_is_kept_for_a_short_time() {
    let mut world = World::new("default allow");
    world.ask(1, "gone.org.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 3000);
        message.add_authority(Record::from_rdata(wire_name(&name("org")), 3000, RData::SOA(soa)));
    });
    assert_eq!(world.answer().1, "NXDomain");
    world.pass(59);
    assert_eq!(world.told("gone.org.", RecordType::A), "NXDomain");
    world.pass(1);
    world.ask(1, "gone.org.", RecordType::A);
    world.asked();
}

#[test]
fn what_a_guest_can_start_is_bounded() {
    let mut world = World::new("default allow");
    let (mut sent, mut closed, mut refused) = (0, 0, 0);
    for number in 0..1000 {
        world.ask(1, &format!("n{number}.org."), RecordType::A);
        while let Some(step) = world.resolver.step() {
            match step {
                Step::Send { .. } => sent += 1,
                Step::Close { .. } => closed += 1,
                Step::Refused { refusal, .. } => refused += usize::from(refusal == Refusal::TooManyQueries),
                Step::Answer { .. } => {}
            }
        }
    }
    assert_eq!((sent, closed, refused), (300, 300 - LOOKUPS_MAX, 700));
    world.pass(600);
    for asker in 0..100 {
        world.ask(asker, "same.org.", RecordType::A);
    }
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.add_answer(record("same.org", "198.51.100.1", 1));
    });
    let answers =
        std::iter::from_fn(|| world.resolver.step()).filter(|step| matches!(step, Step::Answer { .. }));
    assert_eq!(answers.count(), WAITING_MAX);
}

#[test]
fn a_new_configuration_forgets_what_older_servers_said() {
    let mut world = World::new("default allow");
    world.ask(1, "a.org.", RecordType::A);
    let asked = world.asked();
    world.respond(&asked, |message| {
        message.add_answer(record("a.org", "198.51.100.1", 1000));
    });
    world.answer();
    let naming = HostNaming::read("nameserver 192.0.2.99", HOSTS, "");
    world.resolver.set_naming(naming);
    world.ask(1, "a.org.", RecordType::A);
    assert_eq!(world.asked().server, "192.0.2.99:53");
}

proptest! {
    #[test]
    fn whatever_a_server_sends_every_query_is_answered_at_last(
        responses in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..12),
    ) {
        let mut world = World::new("default allow");
        world.ask(1, "a.org.", RecordType::A);
        let mut responses = responses.into_iter();
        let mut answers = 0;
        loop {
            match world.resolver.step() {
                Some(Step::Send { exchange, bytes, .. }) => {
                    if let Some((is_close, mut response)) = responses.next() {
                        if is_close && bytes.len() > 12 {
                            response = [&bytes[..2], &[0x81, 0x80], &bytes[4..], &response].concat();
                        }
                        world.call(|resolver, moment| resolver.receive(exchange, &response, moment));
                    }
                }
                Some(Step::Answer { .. }) => answers += 1,
                Some(Step::Close { .. } | Step::Refused { .. }) => {}
                None if world.resolver.deadline().is_some() => {
                    world.pass(3);
                    world.call(Resolver::tick);
                }
                None => break,
            }
        }
        prop_assert_eq!(answers, 1);
    }
}
