//! Ports in rules.

/// A set of ports that is not empty: all of them, or ranges in order, which neither overlap nor touch. Port 0 is in none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports(Vec<PortRange>);

/// First and last port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PortRange {
    first: u16,
    last: u16,
}

/// The text does not list ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a list of ports; write numbers from 1 to 65535 and ranges, as in `80,443,8000-8999`"
)]
pub struct BadPorts {
    /// The rejected text.
    pub text: String,
}

impl Ports {
    /// Returns the set of all ports.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![PortRange { first: 1, last: u16::MAX }])
    }

    /// Returns the set of these ports; `None` if there is none among them but 0.
    pub fn of(ports: impl IntoIterator<Item = u16>) -> Option<Self> {
        let ranges =
            ports.into_iter().filter(|port| *port != 0).map(|port| PortRange { first: port, last: port });
        Self::of_ranges(ranges.collect())
    }

    fn of_ranges(mut ranges: Vec<PortRange>) -> Option<Self> {
        ranges.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(before) if range.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        (!merged.is_empty()).then_some(Self(merged))
    }

    /// Tells whether all ports are in the set.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Tells whether the port is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| (range.first..=range.last).contains(&port))
    }

    /// Tells whether every port of the other set is in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_inside =
            |range: &PortRange| self.0.iter().any(|own| own.first <= range.first && range.last <= own.last);
        other.0.iter().all(is_inside)
    }
}

impl std::str::FromStr for Ports {
    type Err = BadPorts;

    fn from_str(text: &str) -> Result<Self, BadPorts> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(first)?, port(last)?);
            (first <= last).then_some(PortRange { first, last })
        };
        let ranges: Option<Vec<PortRange>> = text.split(',').map(range).collect();
        ranges.and_then(Self::of_ranges).ok_or_else(|| BadPorts { text: text.to_owned() })
    }
}

fn port(text: &str) -> Option<u16> {
    // `u16` also reads `+80`.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

impl std::fmt::Display for Ports {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(formatter, "{comma}{}", range.first)?;
            if range.last != range.first {
                write!(formatter, "-{}", range.last)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_written_in_their_shortest_form() {
        for (text, short) in [
            ("443", "443"),
            ("443,80", "80,443"),
            ("80,80", "80"),
            ("1-5,3-9,10", "1-10"),
            ("8000-8999,80", "80,8000-8999"),
            ("1-65535", "1-65535"),
            ("65535,65534", "65534-65535"),
        ] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), short);
        }
        assert!("1-65535".parse::<Ports>().unwrap().is_all());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in
            ["", ",", "80,", "0", "0-80", "65536", "+80", "-1", "80-", "90-80", "http", " 80", "80;443", "*"]
        {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
        assert_eq!(Ports::of([0]), None);
    }

    proptest! {
        #[test]
        fn a_set_has_exactly_its_ports(ports: BTreeSet<u16>, near in 1_u16..300, far in 1_u16..300, other: u16) {
            let all: BTreeSet<u16> = ports.iter().copied().chain(near..=near.saturating_add(far)).collect();
            let set = Ports::of(all.iter().copied()).unwrap();
            prop_assert_eq!(set.to_string().parse::<Ports>(), Ok(set.clone()));
            prop_assert_eq!(set.contains(other), other != 0 && all.contains(&other));
            prop_assert!(all.iter().filter(|port| **port != 0).all(|port| set.contains(*port)));
            prop_assert!(Ports::all().covers(&set) && set.covers(&set));
            let one = Ports::of([other.max(1)]).unwrap();
            prop_assert_eq!(set.covers(&one), set.contains(other.max(1)));
        }
    }
}
