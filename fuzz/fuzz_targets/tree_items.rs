//! Files that a guest sends: whatever the items say, nothing is written outside of the destination.

#![no_main]

use banger_agent_proto::ReadTreeReply;
use banger_tree::{TreeWriter, WriterOptions};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reply) = ReadTreeReply::decode(bytes) else { return };
    let place = banger_fuzz::place();
    let inside = place.path().join("inside");
    std::fs::create_dir(&inside).expect("a directory");
    let Ok(mut writer) = TreeWriter::open(&inside, WriterOptions::default()) else { return };
    for item in reply.items {
        let Ok(item) = banger_tree::from_wire(item) else { break };
        if writer.take(item).is_err() {
            break;
        }
    }
    let _ = writer.finish();
    banger_fuzz::assert_only_inside(&place);
});
