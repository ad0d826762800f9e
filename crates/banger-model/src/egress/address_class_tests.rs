use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use AddressClass::{
    Broadcast, Embedding, Gateway, GuestNetwork, Host, Lan, LinkLocal, Loopback, Metadata, Multicast, Public,
    Reserved,
};

fn facts() -> HostFacts {
    HostFacts {
        own: ["192.0.2.2/32", "203.0.113.0/24", "192.168.1.5/32", "192.168.1.255/32", "2001:db8::2/128"]
            .map(|range| range.parse().unwrap())
            .into(),
        on_link: ["192.0.2.0/25", "192.168.1.0/24", "2001:db8::/64"]
            .map(|range| range.parse().unwrap())
            .into(),
        guest_networks: ["10.0.2.0/24", "fd00:2::/64"].map(|range| range.parse().unwrap()).into(),
        gateways: ["10.0.2.2", "fd00:2::2"].map(|address| address.parse().unwrap()).into(),
    }
}

fn class(address: &str) -> AddressClass {
    AddressClass::of(address.parse().unwrap(), &facts())
}

#[test]
fn every_class_has_its_addresses() {
    for (expected, addresses) in [
        (
            Public,
            "1.1.1.1 8.8.8.8 192.0.2.200 198.51.100.1 223.255.255.255 11.0.0.0 172.32.0.1 100.128.0.1 2606:4700::1111 64:ff9b::808:808",
        ),
        (
            Lan,
            "10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.6 100.64.0.1 100.127.255.255 198.18.0.1 192.0.2.1 fd12::1 fec0::1 2001:db8::3 64:ff9b::c0a8:106",
        ),
        (Gateway, "10.0.2.2 fd00:2::2"),
        (
            Host,
            "192.0.2.2 203.0.113.77 192.168.1.5 192.168.1.255 2001:db8::2 64:ff9b::c000:202 64:ff9b::c0a8:105",
        ),
        (GuestNetwork, "10.0.2.15 10.0.2.3 10.0.2.255 fd00:2::15"),
        (Loopback, "127.0.0.1 127.255.0.53 0.0.0.0 0.1.2.3 :: ::1 64:ff9b::7f00:1 64:ff9b::"),
        (
            Metadata,
            "169.254.169.254 169.254.170.2 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd00:ec2::253 fd20:ce::254 fd00:42::42 fd00:c1::a9fe:a9fe 64:ff9b::a9fe:a9fe",
        ),
        (LinkLocal, "169.254.0.1 169.254.255.255 fe80::1 febf::1"),
        (Multicast, "224.0.0.251 239.255.255.250 ff02::1 ff0e::1"),
        (Broadcast, "255.255.255.255"),
        (
            Embedding,
            "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::8.8.8.8 ::2 ::ffff:0:7f00:1 2002:7f00:1::1 2002:808:808::1 2001::1 2001:0:808:808::f7f7:f7f7 64:ff9b:1::7f00:1 fd12::5efe:7f00:1 2600::200:5efe:808:808 64:ff9b::a00:202",
        ),
        (
            Reserved,
            "192.0.0.1 192.88.99.1 240.0.0.1 255.255.255.254 100::1 64:ff9b:2::1 2001:20::1 4000::1 5f00::1 fe00::1 ::1:0:0:0",
        ),
    ] {
        for address in addresses.split(' ') {
            assert_eq!(class(address), expected, "{address}");
        }
    }
}

#[test]
fn every_range_of_ipv4_has_one_class_up_to_its_borders() {
    // Written as a table of first addresses, apart from the rule: what begins where.
    let borders: Vec<(u32, AddressClass)> = [
        ("0.0.0.0", Loopback),
        ("1.0.0.0", Public),
        ("10.0.0.0", Lan),
        ("11.0.0.0", Public),
        ("100.64.0.0", Lan),
        ("100.100.100.200", Metadata),
        ("100.100.100.201", Lan),
        ("100.128.0.0", Public),
        ("127.0.0.0", Loopback),
        ("128.0.0.0", Public),
        ("168.63.129.16", Metadata),
        ("168.63.129.17", Public),
        ("169.254.0.0", LinkLocal),
        ("169.254.169.254", Metadata),
        ("169.254.169.255", LinkLocal),
        ("169.254.170.2", Metadata),
        ("169.254.170.3", LinkLocal),
        ("169.255.0.0", Public),
        ("172.16.0.0", Lan),
        ("172.32.0.0", Public),
        ("192.0.0.0", Reserved),
        ("192.0.0.192", Metadata),
        ("192.0.0.193", Reserved),
        ("192.0.1.0", Public),
        ("192.88.99.0", Reserved),
        ("192.88.100.0", Public),
        ("192.168.0.0", Lan),
        ("192.169.0.0", Public),
        ("198.18.0.0", Lan),
        ("198.20.0.0", Public),
        ("224.0.0.0", Multicast),
        ("240.0.0.0", Reserved),
        ("255.255.255.255", Broadcast),
    ]
    .map(|(first, class)| (first.parse::<Ipv4Addr>().unwrap().to_bits(), class))
    .into();
    let expected = |address: u32| borders[borders.partition_point(|(first, _)| *first <= address) - 1].1;
    let nothing = HostFacts::default();
    let near_borders =
        borders.iter().flat_map(|(first, _)| [first.wrapping_sub(1), *first, first.wrapping_add(1)]);
    let every_24th = (0..=0x00ff_ffff_u32).step_by(7).map(|prefix| prefix << 8 | prefix & 0xff);
    for address in near_borders.chain(every_24th) {
        let plain = AddressClass::of(Ipv4Addr::from_bits(address).into(), &nothing);
        assert_eq!(plain, expected(address), "{}", Ipv4Addr::from_bits(address));
    }
}

#[test]
fn only_a_range_inside_the_lan_is_the_lan() {
    let is_lan = |range: &str| is_only_lan(&range.parse().unwrap(), &facts());
    for range in ["10.0.0.0/8", "10.1.2.3/32", "192.168.0.0/16", "192.0.2.0/26", "fd00::/8", "2001:db8::/64"]
    {
        assert!(is_lan(range), "{range}");
    }
    for range in
        ["0.0.0.0/0", "8.0.0.0/6", "192.0.0.0/8", "192.0.2.0/24", "1.1.1.1/32", "::/0", "2001:db8::/32"]
    {
        assert!(!is_lan(range), "{range}");
    }
}

proptest! {
    #[test]
    fn a_disguise_never_opens_what_is_closed(inner: u32, prefix: u64, low: u16, own: u32) {
        let v4 = Ipv4Addr::from_bits(inner);
        let facts = HostFacts { own: vec![IpAddr::from(Ipv4Addr::from_bits(own)).into()], ..facts() };
        let plain = AddressClass::of(v4.into(), &facts);
        let inner = u128::from(inner);
        let closed = [
            inner,
            0xffff_0000_0000 | inner,
            0xffff_0000_0000_0000 | inner,
            0x0064_ff9b_0001 << 80 | inner,
            0x2001_0000 << 96 | u128::from(prefix) << 32 | (inner ^ 0xffff_ffff),
            0x2002 << 112 | inner << 80 | u128::from(low),
            u128::from(prefix) << 64 | 0x5efe << 32 | inner,
        ];
        for disguise in closed {
            let class = AddressClass::of(Ipv6Addr::from_bits(disguise).into(), &facts);
            prop_assert!(!class.can_be_opened(), "{:x} is {:?}", disguise, class);
        }
        let nat64 = AddressClass::of(Ipv6Addr::from_bits(0x0064_ff9b << 96 | inner).into(), &facts);
        prop_assert_eq!(nat64, if plain == Gateway { Embedding } else { plain });
    }

    #[test]
    fn the_hosts_own_addresses_never_open(bits: u128, v4: u32, length in 0_u8..=32) {
        for address in [IpAddr::from(Ipv6Addr::from_bits(bits)), IpAddr::from(Ipv4Addr::from_bits(v4))] {
            let own = vec![IpNet::new(address, length).unwrap().trunc()];
            let facts = HostFacts { own, ..HostFacts::default() };
            prop_assert!(!AddressClass::of(address, &facts).can_be_opened());
        }
    }
}
