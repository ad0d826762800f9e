//! The first bytes of a guest's connection, and its requests: how the stream is cut makes no difference, and what is sent on is
//! what came.

#![no_main]

use banger_model::egress::Said;
use banger_net::names::sniff::{HttpReader, Sniffer, is_quic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = is_quic(bytes);
    let whole = Sniffer::default().push(bytes);
    let mut sniffer = Sniffer::default();
    let cut = bytes.iter().find_map(|byte| sniffer.push(&[*byte]));
    // In pieces it can be known earlier, but not be something else. What follows is malformed in the whole only.
    assert!(whole.is_none() || whole == cut || whole == Some(Said::NoName), "{whole:?} {cut:?}");

    let whole = HttpReader::default().push(bytes);
    let (mut reader, mut passed, mut heads) = (HttpReader::default(), Vec::new(), Vec::new());
    for byte in bytes {
        let Ok(passage) = reader.push(&[*byte]) else {
            assert!(whole.is_err());
            return;
        };
        passed.extend(passage.bytes);
        heads.extend(passage.heads);
    }
    assert!(bytes.starts_with(&passed));
    if let Ok(whole) = whole {
        assert_eq!((whole.bytes, whole.heads), (passed, heads));
    }
});
