use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Vec<String>, MalformedRequest> {
    let passage = HttpReader::default().push(text.as_bytes())?;
    let words = |head: &Head| {
        let host = head.host.as_ref().map_or("-", HostName::as_str);
        format!("{} {host} {}", head.method, head.target)
    };
    Ok(passage.heads.iter().map(words).collect())
}

#[test]
fn the_host_method_and_target_are_read() {
    for (text, expected) in [
        ("GET /a?b HTTP/1.1\r\nHost: WWW.Example.org\r\n\r\n", "GET www.example.org /a?b"),
        ("POST / HTTP/1.1\r\nX: y\r\nhost:example.org:8080\r\n\r\n", "POST example.org /"),
        ("GET http://a.org/x HTTP/1.1\r\nHost: a.org:80\r\n\r\n", "GET a.org /x"),
        ("GET HTTP://a.org HTTP/1.1\r\nHost: A.org\r\n\r\n", "GET a.org /"),
        ("CONNECT a.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n", "CONNECT a.org /"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n", "OPTIONS a.org *"),
        ("GET / HTTP/1.0\r\n\r\n", "GET - /"),
        ("GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", "GET - /"),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", "GET - /"),
    ] {
        assert_eq!(read(text), Ok(vec![expected.to_owned()]), "{text}");
    }
}

#[test]
fn what_servers_could_read_differently_is_malformed() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\r\nHost: b.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\r\nhOST: a.org\r\n\r\n",
        "GET http://b.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET http://a.org@b.org/ HTTP/1.1\r\nHost: b.org\r\n\r\n",
        "GET https://a.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET http://a.org?x HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET a.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "CONNECT b.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET / HTTP/1.1\nHost: a.org\n\n",
        "GET / HTTP/1.1\r\nHost: a.org\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.org\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n b\r\nHost: a.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org b.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: bücher.org\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a.org\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1, 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(read(text), Err(MalformedRequest), "{text}");
    }
    for chunks in [
        "x\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1\nx\r\n",
        "\r\n",
        "-1\r\n",
        "ffffffffffffffff\r\n",
        "11111111111111111\r\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(read(&text), Err(MalformedRequest), "{chunks}");
    }
}

#[test]
fn heads_lines_and_headers_are_bounded() {
    let endless = |text: &str| {
        let mut reader = HttpReader::default();
        (0..1000).any(|_| reader.push(text.repeat(100).as_bytes()).is_err())
    };
    assert!(endless("GET "));
    let mut reader = HttpReader::default();
    reader.push(b"POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert!(reader.push(&[b'0'; 300]).is_err());
    let many = format!("GET / HTTP/1.1\r\nHost: a.org\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX));
    assert_eq!(read(&many), Err(MalformedRequest));
}

/// A stream of requests with bodies of each kind, and its heads.
fn requests() -> impl Strategy<Value = (Vec<u8>, Vec<String>)> {
    let body = prop_oneof![
        Just(("X: y\r\n".to_owned(), Vec::new())),
        proptest::collection::vec(any::<u8>(), 0..60)
            .prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..4).prop_map(|chunks| {
            let chunk =
                |chunk: Vec<u8>| [format!("{:X};e=1\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
            let chunks: Vec<u8> = chunks.into_iter().flat_map(chunk).collect();
            ("transfer-encoding: Chunked\r\n".to_owned(), [&chunks[..], b"0\r\nT: v\r\n\r\n"].concat())
        }),
    ];
    let request = ("[a-z]{1,8}", "(/[a-z]{1,5}){1,3}", body).prop_map(|(host, path, (header, body))| {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}.org\r\n{header}\r\n");
        ([head.as_bytes(), &body].concat(), format!("{host}.org{path}"))
    });
    proptest::collection::vec(request, 0..5).prop_map(|requests| {
        let (streams, heads): (Vec<Vec<u8>>, Vec<String>) = requests.into_iter().unzip();
        (streams.concat(), heads)
    })
}

proptest! {
    #[test]
    fn every_request_is_found_however_the_stream_is_cut((stream, heads) in requests(), cuts in proptest::collection::vec(1_usize..60, 1..20)) {
        let (mut reader, mut rest, mut passed, mut found, mut cut) =
            (HttpReader::default(), stream.as_slice(), Vec::new(), Vec::new(), 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts[cut % cuts.len()].min(rest.len()));
            let passage = reader.push(now).unwrap();
            passed.extend(passage.bytes);
            found.extend(passage.heads.into_iter().map(|head| format!("{}{}", head.host.unwrap(), head.target)));
            prop_assert_eq!(&stream[..passed.len()], &passed);
            (rest, cut) = (later, cut + 1);
        }
        prop_assert_eq!(found, heads);
        prop_assert_eq!(passed, stream);
    }

    #[test]
    fn no_bytes_make_it_panic((mut stream, _) in requests(), changes in proptest::collection::vec((0_usize..200, any::<u8>()), 0..5)) {
        for (place, byte) in changes {
            if let Some(changed) = stream.get_mut(place) {
                *changed = byte;
            }
        }
        let _ = HttpReader::default().push(&stream);
    }
}
