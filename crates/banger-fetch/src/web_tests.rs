use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

/// A server that answers each path as a function decides, and records the heads of its requests.
struct Server {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n")
                && stream.read_line(&mut head).await.is_ok_and(|count| count > 0)
            {}
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            heads.lock().unwrap().push(head);
            let _ = stream.get_mut().write_all(answer(&path).as_bytes()).await;
        }
    });
    Server { host, asked }
}

fn ok() -> String {
    "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_owned()
}

fn led_to(location: &str) -> String {
    format!("HTTP/1.1 302 X\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n")
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn web(origin: &Url, trusted: &[&str]) -> Web {
    let trusted = trusted.iter().map(|place| (*place).to_owned()).collect();
    let options = WebOptions { connect_deadline: Duration::from_secs(5), trusted, ..WebOptions::default() };
    Web::new(origin.clone(), options).unwrap()
}

async fn detour_of(location: &str) -> String {
    let location = location.to_owned();
    let server = server(move |_| led_to(&location)).await;
    let origin = url(&format!("http://{}/", server.host));
    match web(&origin, &[]).ask(&Question::get(origin.clone())).await {
        Err(WebError::Detour(detour)) => detour.to_string().replace(&server.host, "<itself>"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_leads_to_this_host_the_link_or_another_scheme() {
    let mut told = String::new();
    for location in [
        "file:///etc/passwd",
        "unix:///run/x.sock",
        "gopher://127.0.0.1/x",
        "http://169.254.169.254/latest",
        "http://127.0.0.1:9/admin",
        "http://localhost:9/admin",
        "http://0x7f.1:9/",
        "http://2130706433:9/",
        "http://0:9/",
        "http://[::1]:9/",
        "http://[::ffff:127.0.0.1]:9/",
        "https://[fe80::1]/",
        "http://user:secret@127.0.0.1:9/",
        "//127.0.0.1:9/",
        "http://",
        "/round/and/round",
    ] {
        told.push_str(&detour_of(location).await);
        told.push('\n');
    }
    insta::assert_snapshot!(told, @r"
    it leads to the unsupported scheme `file:`
    it leads to the unsupported scheme `unix:`
    it leads to the unsupported scheme `gopher:`
    it leads to `169.254.169.254`, which is on this link, a metadata service, or no server
    it leads to `127.0.0.1:9`, which is on this host
    it leads to `localhost:9`, which is on this host
    it leads to `127.0.0.1:9`, which is on this host
    it leads to `127.0.0.1:9`, which is on this host
    it leads to `0.0.0.0:9`, which is on this host
    it leads to `[::1]:9`, which is on this host
    it leads to `[::ffff:7f00:1]:9`, which is on this host
    it leads to `[fe80::1]`, which is on this link, a metadata service, or no server
    it leads to `127.0.0.1:9`, which is on this host
    it leads to `127.0.0.1:9`, which is on this host
    it leads to an invalid URL
    there are more than 10 redirects
    ");
}

#[tokio::test]
async fn a_trusted_place_is_led_to_without_the_credentials() {
    let other = server(|_| ok()).await;
    let location = format!("http://{}/blob", other.host);
    let first = server(move |path| if path == "/" { led_to("/moved") } else { led_to(&location) }).await;
    let origin = url(&format!("http://{}/", first.host));
    let web = web(&origin, &[&other.host]);
    let authorization = Some(HeaderValue::from_static("Basic c2VjcmV0"));
    let answer = web.ask(&Question { authorization, ..Question::get(origin) }).await.unwrap();
    assert!(answer.response.status().is_success() && !answer.is_of_the_asked);
    let heads = |server: &Server| {
        server.asked.lock().unwrap().iter().map(|head| head.contains("c2VjcmV0")).collect::<Vec<_>>()
    };
    assert_eq!(heads(&first), [true, true], "the same server hears who asks, also when it leads to itself");
    assert_eq!(heads(&other), [false]);
}

#[tokio::test]
async fn a_posted_secret_is_not_sent_on() {
    let server = server(|path| if path == "/" { led_to("/moved") } else { ok() }).await;
    let origin = url(&format!("http://{}/", server.host));
    let form = Some(vec![("refresh_token".to_owned(), "secret".to_owned())]);
    let refused = web(&origin, &[]).ask(&Question { form, ..Question::get(origin) }).await;
    assert!(matches!(refused, Err(WebError::Detour(Detour::Secret { .. }))), "{refused:?}");
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_question_to_another_server_is_checked_before_it_is_asked() {
    let other = server(|_| ok()).await;
    let origin = url("https://registry.example/");
    for (target, expected) in [
        (format!("http://{}/token", other.host), "it leads from HTTPS to HTTP"),
        ("https://127.0.0.1:9/token".to_owned(), "which is on this host"),
        ("file:///etc/shadow".to_owned(), "the unsupported scheme `file:`"),
    ] {
        let Err(WebError::Detour(detour)) = web(&origin, &[]).ask(&Question::get(url(&target))).await else {
            panic!("{target} was asked");
        };
        assert!(detour.to_string().contains(expected), "{detour}");
    }
    assert!(other.asked.lock().unwrap().is_empty());
}
