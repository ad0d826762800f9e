//! `/proc/meminfo` (`proc_meminfo(5)`): `MemTotal:        2024344 kB`, one value per line; a "kB" is 1024 bytes.

use banger_agent_proto::MemoryFigures;

pub(super) fn parse(text: &str) -> Option<MemoryFigures> {
    let bytes = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(MemoryFigures {
        total_bytes: bytes("MemTotal")?,
        available_bytes: bytes("MemAvailable")?,
        // A kernel without swap support does not have these lines.
        swap_total_bytes: bytes("SwapTotal").unwrap_or(0),
        swap_free_bytes: bytes("SwapFree").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let text = "MemTotalX: 1 kB\nMemTotal:        2048 kB\nMemFree: 3 kB\nMemAvailable:   1024 kB\nSwapTotal: 4 kB\n";
        let expected = MemoryFigures {
            total_bytes: 2048 * 1024,
            available_bytes: 1024 * 1024,
            swap_total_bytes: 4096,
            swap_free_bytes: 0,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
    }

    proptest! {
        #[test]
        fn any_value_is_survived(total in "\\PC{0,30}", available: u64) {
            let _ = parse(&format!("MemTotal: {total} kB\nMemAvailable: {available} kB"));
        }
    }
}
