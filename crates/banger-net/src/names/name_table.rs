//! The names that a guest has resolved, by address: what makes a rule with a name into a decision about an address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use banger_model::egress::HostName;

/// Number of addresses that are known at a time. When there are more, the one that becomes invalid first is forgotten.
const ADDRESSES_MAX: usize = 4096;
/// Number of names that one address can have. Servers of many hosts have more, but a guest does not ask for all of them.
const NAMES_MAX: usize = 16;
/// Programs use an answer longer than its time to live allows: what counts is when they connect, not when they asked.
const GRACE: Duration = Duration::from_secs(60);

/// Names by address. Names of an address to which a connection lives stay valid.
#[derive(Clone, Debug, Default)]
pub struct NameTable {
    addresses: HashMap<IpAddr, Entry>,
    /// The same in the order in which the entries without connections become invalid.
    ends: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// With the moment from which each is invalid; never empty.
    names: Vec<(HostName, Instant)>,
    connections: u32,
}

impl Entry {
    fn end(&self) -> Option<Instant> {
        self.names.iter().map(|(_, end)| *end).max()
    }
}

impl NameTable {
    /// Notes that the guest has been told that the name has this address, and for how long it may use it.
    pub fn insert(&mut self, address: IpAddr, name: &HostName, time_to_live: Duration, now: Instant) {
        self.forget_invalid(now);
        let end = now + time_to_live + GRACE;
        let known = self.take(address);
        if self.addresses.len() >= ADDRESSES_MAX
            && let Some((_, first)) = self.ends.first().copied()
        {
            self.take(first);
        }
        let mut entry = known.unwrap_or_else(|| Entry { names: Vec::new(), connections: 0 });
        let earlier =
            entry.names.iter().position(|(known, _)| known == name).map(|place| entry.names.remove(place).1);
        if entry.names.len() >= NAMES_MAX {
            entry.names.remove(0);
        }
        entry.names.push((name.clone(), earlier.map_or(end, |earlier| earlier.max(end))));
        self.put(address, entry);
    }

    /// Returns the names that an address has for the guest, the one that was told last at the end.
    #[must_use]
    pub fn names(&self, address: IpAddr, now: Instant) -> Vec<HostName> {
        let entry = self.addresses.get(&address);
        let valid = entry
            .into_iter()
            .flat_map(|entry| entry.names.iter().filter(move |(_, end)| entry.connections > 0 || *end > now));
        valid.map(|(name, _)| name.clone()).collect()
    }

    /// Notes a connection to an address. Each call needs one of [`Self::close`].
    pub fn open(&mut self, address: IpAddr) {
        if let Some(mut entry) = self.take(address) {
            entry.connections = entry.connections.saturating_add(1);
            self.put(address, entry);
        }
    }

    /// Notes the end of a connection. What has become invalid meanwhile is valid for a little longer, so that a program can
    /// connect again.
    pub fn close(&mut self, address: IpAddr, now: Instant) {
        let Some(mut entry) = self.take(address) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.connections == 0 {
            entry.names.iter_mut().for_each(|(_, end)| *end = (*end).max(now + GRACE));
        }
        self.put(address, entry);
    }

    fn forget_invalid(&mut self, now: Instant) {
        while let Some((end, address)) = self.ends.first().copied()
            && end <= now
        {
            self.take(address);
        }
    }

    fn take(&mut self, address: IpAddr) -> Option<Entry> {
        let entry = self.addresses.remove(&address)?;
        if let Some(end) = entry.end() {
            self.ends.remove(&(end, address));
        }
        Some(entry)
    }

    fn put(&mut self, address: IpAddr, entry: Entry) {
        if let Some(end) = entry.end().filter(|_| entry.connections == 0) {
            self.ends.insert((end, address));
        }
        self.addresses.insert(address, entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xc633_0000 + number).into()
    }

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_valid_for_its_time_and_a_grace() {
        let (mut table, start) = (NameTable::default(), Instant::now());
        table.insert(address(1), &name("a.org"), TTL, start);
        table.insert(address(1), &name("b.org"), TTL * 2, start);
        assert_eq!(table.names(address(1), start), [name("a.org"), name("b.org")]);
        assert_eq!(table.names(address(2), start), []);
        assert_eq!(table.names(address(1), start + TTL + GRACE), [name("b.org")]);
        assert_eq!(table.names(address(1), start + TTL * 2 + GRACE), []);
        table.insert(address(2), &name("c.org"), TTL, start + TTL * 2 + GRACE);
        assert_eq!((table.addresses.len(), table.ends.len()), (1, 1), "what is invalid is forgotten");
    }

    #[test]
    fn a_shorter_answer_does_not_shorten_an_earlier_one() {
        let (mut table, start) = (NameTable::default(), Instant::now());
        table.insert(address(1), &name("a.org"), TTL * 5, start);
        table.insert(address(1), &name("a.org"), TTL, start);
        assert_eq!(table.names(address(1), start + TTL * 4 + GRACE), [name("a.org")]);
    }

    #[test]
    fn names_live_as_long_as_a_connection_and_a_little_longer() {
        let (mut table, start) = (NameTable::default(), Instant::now());
        table.insert(address(1), &name("a.org"), TTL, start);
        table.open(address(1));
        table.open(address(1));
        let late = start + TTL * 100;
        table.insert(address(2), &name("b.org"), TTL, late);
        table.close(address(1), late);
        assert_eq!(table.names(address(1), late), [name("a.org")]);
        table.close(address(1), late);
        assert_eq!(table.names(address(1), late + GRACE / 2), [name("a.org")]);
        assert_eq!(table.names(address(1), late + GRACE), []);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_in_use() {
        let (mut table, start) = (NameTable::default(), Instant::now());
        table.insert(address(0), &name("used.org"), Duration::ZERO, start);
        table.open(address(0));
        for number in 1..=u32::try_from(ADDRESSES_MAX).unwrap() + 10 {
            table.insert(address(number), &name("a.org"), TTL + Duration::from_millis(number.into()), start);
        }
        assert_eq!(table.addresses.len(), ADDRESSES_MAX);
        assert_eq!(table.names(address(0), start), [name("used.org")]);
        assert_eq!(table.names(address(1), start), []);
        for number in 0..NAMES_MAX + 3 {
            table.insert(address(9000), &name(&format!("n{number}.org")), TTL, start);
        }
        let names = table.names(address(9000), start);
        assert_eq!((names.len(), &names[0]), (NAMES_MAX, &name("n3.org")));
    }

    proptest! {
        #[test]
        fn both_orders_hold_the_same(steps in proptest::collection::vec((0_u8..4, 0_u32..5, 0_u64..200), 0..60)) {
            let (mut table, start) = (NameTable::default(), Instant::now());
            for (kind, number, secs) in steps {
                let now = start + Duration::from_secs(secs);
                match kind {
                    0 => table.open(address(number)),
                    1 => table.close(address(number), now),
                    _ => table.insert(address(number), &name("a.org"), Duration::from_secs(secs), now),
                }
                let free = table.addresses.iter().filter(|(_, entry)| entry.connections == 0);
                let ends: BTreeSet<_> = free.filter_map(|(address, entry)| Some((entry.end()?, *address))).collect();
                prop_assert_eq!(&ends, &table.ends);
            }
        }
    }
}
