//! Data from a guest other than gRPC: the handshake of its serial port, signs of life, words about its end, and messages.

#![no_main]

use banger_agent_proto::heartbeat::Heartbeat;
use banger_agent_proto::sync::{Line, LineScanner};
use banger_agent_proto::way_out::WayOut;
use banger_agent_proto::{ExecReply, HelloReply, ListenersReply, ReadTreeReply, StatsReply};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let mut scanner = LineScanner::default();
    for line in bytes.iter().filter_map(|byte| scanner.push(*byte)) {
        assert_eq!(Line::decode(line.encode().trim_ascii()), Some(line));
    }
    if let Some(heartbeat) = std::str::from_utf8(bytes).ok().and_then(Heartbeat::parse) {
        assert_eq!(Heartbeat::parse(heartbeat.to_line().trim_end()), Some(heartbeat));
    }
    if let Some(way) = std::str::from_utf8(bytes).ok().and_then(WayOut::parse) {
        assert_eq!(WayOut::parse(way.word()), Some(way));
    }
    let _ = HelloReply::decode(bytes);
    let _ = ExecReply::decode(bytes);
    let _ = StatsReply::decode(bytes);
    let _ = ListenersReply::decode(bytes);
    let _ = ReadTreeReply::decode(bytes);
});
