//! The guest's name server, with servers on the host and in the world.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::Test;
use crate::lab::{Lab, Naming, WORLD};
use crate::namespace::Namespace;
use crate::streams::{PATIENCE, address, connect};

pub(crate) const TESTS: &[Test] = &[
    ("names_are_resolved_by_the_servers_of_the_host", servers),
    ("a_server_on_the_hosts_loopback_is_asked", loopback),
    ("names_that_lead_to_the_host_or_its_network_are_withheld", rebinding),
    ("long_answers_come_by_tcp", long_answers),
    ("a_connection_to_the_name_server_answers_several_queries", several_queries),
];

/// The first one is not there.
const NAMING: Naming = Naming(
    "nameserver 198.51.100.1\nnameserver 198.51.100.2\n",
    "127.0.0.1 localhost\n198.51.100.7 db.corp\n192.0.2.1 thishost\n",
);

/// Serves names at an address: `n1-2-3-4.test` has the address 1.2.3.4, `many.test` has too many for a datagram, and others do
/// not exist.
fn serve(at: &Namespace, on: &str) {
    let on = address(on, 53);
    let (datagrams, streams) = at.run(|| (UdpSocket::bind(on).unwrap(), TcpListener::bind(on).unwrap()));
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
            let mut answer = answer_to(&buffer[..length]);
            if answer.answers.len() > 20 {
                answer = answer.truncate();
            }
            let _ = datagrams.send_to(&answer.to_vec().unwrap(), from);
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = streams.accept() {
            let query = read_message(&mut stream);
            write_message(&mut stream, &answer_to(&query).to_vec().unwrap());
        }
    });
}

fn answer_to(query: &[u8]) -> Message {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    let name = question.name().to_ascii();
    let mut add = |address: [u8; 4]| {
        let data = RData::A(A(address.into()));
        answer.add_answer(Record::from_rdata(question.name().clone(), 60, data));
    };
    match name.strip_suffix(".test.") {
        Some("many") => (0..200).for_each(|number| add([198, 51, 100, number])),
        Some(host) if host.starts_with('n') => {
            let numbers: Vec<u8> =
                host[1..].split(['-', '.']).map(|number| number.parse().unwrap()).collect();
            numbers.chunks(4).for_each(|address| add(address.try_into().unwrap()));
        }
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(question);
    answer
}

fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn write_message(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat()).unwrap();
}

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn words(answer: &[u8]) -> String {
    let answer = Message::from_vec(answer).unwrap();
    assert_eq!(answer.metadata.id, 7);
    let addresses = answer.answers.iter().filter_map(|record| record.data.ip_addr());
    let addresses: String = addresses.map(|address| format!(" {address}")).collect();
    let truncated = if answer.metadata.truncation { " truncated" } else { "" };
    format!("{:?}{addresses}{truncated}", answer.metadata.response_code)
}

fn ask(lab: &Lab, name: &str) -> String {
    let guest = lab.guest.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    guest.set_read_timeout(Some(PATIENCE)).unwrap();
    let server: SocketAddr = address("10.0.2.3", 53);
    guest.connect(server).unwrap();
    guest.send(&query(name)).unwrap();
    let mut answer = [0; 2000];
    let length = guest.recv(&mut answer).unwrap_or_else(|error| panic!("{name}: {error}"));
    words(&answer[..length])
}

fn ask_by_tcp(stream: &mut TcpStream, name: &str) -> String {
    write_message(stream, &query(name));
    words(&read_message(stream))
}

fn servers() {
    let lab = Lab::with_names(NAMING);
    serve(&lab.world, "198.51.100.2");
    assert_eq!(ask(&lab, "n198-51-100-9.test."), "NoError 198.51.100.9");
    assert_eq!(ask(&lab, "gone.test."), "NXDomain");
    assert_eq!(ask(&lab, "DB.corp."), "NoError 198.51.100.7");
    assert_eq!(ask(&lab, "localhost."), "NoError 127.0.0.1");
}

fn loopback() {
    let lab = Lab::with_names(Naming("nameserver 127.0.0.53\n", ""));
    serve(&lab.host, "127.0.0.53");
    assert_eq!(ask(&lab, "n198-51-100-9.test."), "NoError 198.51.100.9");
    assert!(connect(&lab.guest, address("127.0.0.53", 53)).is_err());
}

fn rebinding() {
    let lab = Lab::with_names(NAMING);
    serve(&lab.world, "198.51.100.2");
    let closed = "n127-0-0-1-192-0-2-1-192-0-2-2.10-9-9-9-169-254-169-254";
    assert_eq!(ask(&lab, &format!("{closed}-198-51-100-1.test.")), "NoError 198.51.100.1");
    assert_eq!(ask(&lab, "thishost."), "NoError");
    lab.host.ip("address add 198.51.100.9/32 dev lo");
    assert_eq!(ask(&lab, "n198-51-100-9.test."), "NoError");
}

fn long_answers() {
    let lab = Lab::with_names(NAMING);
    serve(&lab.world, "198.51.100.2");
    assert_eq!(ask(&lab, "many.test."), "NoError truncated");
    let mut stream = connect(&lab.guest, address("10.0.2.3", 53)).unwrap();
    assert_eq!(ask_by_tcp(&mut stream, "many.test.").split(' ').count(), 201);
}

fn several_queries() {
    let lab = Lab::with_names(NAMING);
    serve(&lab.world, "198.51.100.2");
    let mut stream = connect(&lab.guest, address("10.0.2.3", 53)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for name in ["n198-51-100-9.test.", "gone.test.", "n198-51-100-8.test."] {
        assert!(!ask_by_tcp(&mut stream, name).is_empty());
    }
    // The end of what is asked is not the end of the answers.
    write_message(&mut stream, &query("n198-51-100-7.test."));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(words(&read_message(&mut stream)), "NoError 198.51.100.7");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is closed then");
    assert!(connect(&lab.guest, address(WORLD, 53)).is_err(), "nobody else answers");
}
