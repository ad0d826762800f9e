//! `/proc/net/dev` (`proc_pid_net(5)`): two lines of headings, then a line for each interface:
//!
//! ```text
//!   eth0: received-bytes packets errs drop fifo frame compressed multicast sent-bytes packets …
//! ```

use banger_agent_proto::InterfaceFigures;

const LOOPBACK: &str = "lo";

pub(super) fn parse(text: &str) -> Vec<InterfaceFigures> {
    text.lines().filter_map(parse_line).filter(|interface| interface.name != LOOPBACK).collect()
}

fn parse_line(line: &str) -> Option<InterfaceFigures> {
    // A name may contain a colon (an alias), a counter never does.
    let (name, counters) = line.rsplit_once(':')?;
    let counters: Vec<u64> =
        counters.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    Some(InterfaceFigures {
        name: name.trim().to_owned(),
        received_bytes: *counters.first()?,
        sent_bytes: *counters.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1234567     890    0    0    0     0          0         0    98765     432    0    0    0     0       0          0
eth0:1:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
";

    #[test]
    fn interfaces_are_told_without_loopback() {
        let interfaces = parse(TABLE);
        let told: Vec<_> =
            interfaces.iter().map(|i| (i.name.as_str(), i.received_bytes, i.sent_bytes)).collect();
        assert_eq!(told, [("eth0", 1_234_567, 98_765), ("eth0:1", 1, 9)]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(\\PC{0,20}:?( [0-9]{0,22}){0,20}\n){0,5}") {
            let _ = parse(&text);
        }
    }
}
