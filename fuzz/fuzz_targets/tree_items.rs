//! Files that a guest sends: whatever the items contain, nothing is written outside the destination, and only the requested
//! entry inside it.

#![no_main]

use banger_agent_proto::ReadTreeReply;
use banger_tree::{Arrival, Top, Tops, TreeWriter, WriterOptions};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reply) = ReadTreeReply::decode(bytes) else { return };
    let place = banger_fuzz::place();
    let inside = place.path().join("inside");
    std::fs::create_dir(&inside).expect("a directory");
    let Ok(mut writer) = TreeWriter::open(&inside, WriterOptions::default()) else { return };
    let asked = Top::of("/var/log/x".as_ref(), false).expect("a name");
    let mut arrival = Arrival::new(Tops::Only(asked));
    for item in reply.items {
        let Ok(item) = arrival.take(item) else { break };
        if writer.take(item).is_err() {
            break;
        }
    }
    let _ = writer.finish();
    banger_fuzz::assert_only_inside(&place);
    for entry in std::fs::read_dir(&inside).expect("the destination").flatten() {
        assert_eq!(entry.file_name(), "x");
    }
});
