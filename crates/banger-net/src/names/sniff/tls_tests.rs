use proptest::prelude::*;

use super::*;

fn vector_16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector_16(content)].concat()
}

fn server_name_extension(name: &[u8]) -> Vec<u8> {
    extension(SERVER_NAME, &vector_16(&[&[HOST_NAME], &vector_16(name)[..]].concat()))
}

fn handshake(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    body.extend(vector_16(&extensions.concat()));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO][..], &length[1..], &body].concat()
}

/// Divides a handshake into records of at most so many bytes.
fn records(handshake: &[u8], bytes_max: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[HANDSHAKE_RECORD, 3, 1], &vector_16(part)[..]].concat();
    handshake.chunks(bytes_max).flat_map(record).collect()
}

pub(in crate::names::sniff) fn hello(name: &str) -> Vec<u8> {
    let other = extension(43, &[2, 3, 4]);
    records(&handshake(&[other.clone(), server_name_extension(name.as_bytes()), other]), 9000)
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with results")]
fn whole(hello: Hello) -> Result<Progress, Malformed> {
    Ok(Progress::Whole(hello))
}

fn name(text: &str) -> Hello {
    Hello::Name(text.parse().unwrap())
}

#[test]
fn the_name_is_read() {
    assert_eq!(read(&hello("www.Example.org")), whole(name("www.example.org")));
    let extensions = |list: &[Vec<u8>]| read(&records(&handshake(list), 9000));
    assert_eq!(extensions(&[extension(43, &[2, 3, 4])]), whole(Hello::NoName));
    let hidden = [server_name_extension(b"front.org"), extension(0xfe0d, &[0; 40])];
    assert_eq!(extensions(&hidden), whole(Hello::Encrypted));
    assert_eq!(extensions(&[extension(0xffce, &[])]), whole(Hello::Encrypted));
    let without_extensions = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    let old = [&[CLIENT_HELLO, 0, 0, 41][..], &without_extensions].concat();
    assert_eq!(read(&records(&old, 9000)), whole(Hello::NoName));
}

#[test]
fn what_could_be_read_in_two_ways_is_malformed() {
    let extensions = |list: &[Vec<u8>]| read(&records(&handshake(list), 9000));
    let twice = [server_name_extension(b"a.org"), server_name_extension(b"b.org")];
    assert_eq!(extensions(&twice), Err(Malformed));
    let entry = |name: &[u8]| [&[HOST_NAME], &vector_16(name)[..]].concat();
    let two = extension(SERVER_NAME, &vector_16(&[entry(b"a.org"), entry(b"b.org")].concat()));
    assert_eq!(extensions(&[two]), Err(Malformed));
    let behind = extension(SERVER_NAME, &[vector_16(&entry(b"a.org")), vec![0]].concat());
    assert_eq!(extensions(&[behind]), Err(Malformed));
    for odd in [&b""[..], b"1.2.3.4", b"a.org\0.b.org", b"a b", "bücher.org".as_bytes(), b"\xff"] {
        assert_eq!(extensions(&[server_name_extension(odd)]), Err(Malformed), "{odd:?}");
    }
}

#[test]
fn what_is_no_client_hello_is_malformed_at_once() {
    for bytes in [
        &[22, 2, 1, 0, 5][..],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0x40, 1],
        &[23, 3, 1, 0, 5],
        &[22, 3, 1, 0, 5, 2],
        &[22, 3, 1, 0, 5, 1, 0, 0x80, 1],
    ] {
        assert_eq!(read(bytes), Err(Malformed), "{bytes:?}");
    }
    let endless =
        [&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 3, 0, 0x7f, 0][..], &[22, 3, 1, 0, 1, 0].repeat(12_000)].concat();
    assert_eq!(read(&endless), Err(Malformed), "bounded however small the records are");
}

proptest! {
    #[test]
    fn records_and_segments_make_no_difference(record in 1_usize..300, cut in 0_usize..400) {
        let whole_bytes = records(&handshake(&[extension(10, &[1; 50]), server_name_extension(b"www.example.org"), extension(51, &[2; 100])]), record);
        prop_assert_eq!(read(&whole_bytes), whole(name("www.example.org")));
        let begin = &whole_bytes[..cut.min(whole_bytes.len() - 1)];
        let Ok(Progress::Missing(missing)) = read(begin) else { panic!("{:?}", read(begin)) };
        prop_assert!((1..=whole_bytes.len() - begin.len()).contains(&missing));
    }

    #[test]
    fn no_bytes_make_it_panic(mut whole in Just(hello("www.example.org")), changes in proptest::collection::vec((0_usize..140, any::<u8>()), 0..6)) {
        for (place, byte) in changes {
            if let Some(changed) = whole.get_mut(place) {
                *changed = byte;
            }
        }
        let _ = read(&whole);
    }
}
