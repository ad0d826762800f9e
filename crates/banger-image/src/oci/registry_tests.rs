use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_fetch::{Download, SourceError as _, Unreachable};
use banger_model::Hint;
use serde_json::json;

use super::*;
use crate::oci::endpoint::PlainHttp::{Allowed, OnLoopback};
use crate::oci::fake_registry::{Asked, FakeRegistry, Reply, Stop, impatience};
use crate::oci::secret::Secret;

fn options() -> RegistryOptions {
    RegistryOptions { patience: impatience(), ..RegistryOptions::default() }
}

fn registry(fake: &FakeRegistry, credentials: Credentials) -> Registry {
    let reference = format!("{}/team/app:v1", fake.host).parse().unwrap();
    Registry::of(&reference, credentials, &options())
}

fn ada() -> Credentials {
    Credentials::Basic { username: "ada".to_owned(), password: Secret::new("hunter2") }
}

async fn read(registry: &Registry, blob: &BlobDigest) -> Result<Vec<u8>, RegistryError> {
    Download::begin(registry.blob(blob), "blob", 1 << 20).await?.whole().await
}

/// Base64 of `ada:hunter2`.
const ADA: &str = "Basic YWRhOmh1bnRlcjI=";

fn shows(asked: &Asked, wanted: &str) -> bool {
    asked.headers.get("authorization").is_some_and(|shown| shown == wanted)
}

#[tokio::test]
async fn an_open_registry_is_asked_without_credentials() {
    let fake = FakeRegistry::good().await;
    let digest = fake.manifest("v1", &json!({"schemaVersion": 2}));
    let found = registry(&fake, ada()).manifest("v1").await.unwrap();
    assert_eq!((found.digest, found.text), (digest, br#"{"schemaVersion":2}"#.to_vec()));
    let asked = fake.asked("");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/v2/team/app/manifests/v1");
    assert!(!asked[0].headers.contains_key("authorization"), "nobody asked who we are");
}

#[tokio::test]
async fn a_registry_that_wants_a_password_gets_it() {
    let fake = FakeRegistry::with(|asked| {
        let refusal = Reply::of(401, "").with("WWW-Authenticate", "Basic realm=\"x\"");
        (!shows(asked, ADA)).then_some(refusal)
    })
    .await;
    fake.manifest("v1", &json!({}));
    let known = registry(&fake, ada());
    known.manifest("v1").await.unwrap();
    known.manifest("v1").await.unwrap();
    assert_eq!(fake.asked("manifests").len(), 3, "one refusal is enough");
    let error = registry(&fake, Credentials::Anonymous).manifest("v1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }));
    assert_eq!(error.hint(), Some(Hint::LogIn { registry: fake.host.clone() }));
}

/// Wants a token of its own token server, which gives `wanted` to whom `gives` accepts.
async fn with_token_server(gives: fn(&Asked) -> bool) -> FakeRegistry {
    FakeRegistry::with(move |asked| {
        if asked.path.starts_with("/token") {
            return Some(if gives(asked) {
                Reply::of(200, r#"{"token":"wanted","expires_in":60}"#)
            } else {
                Reply::of(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"bad\u001b[2Jpassword"}]}"#)
            });
        }
        if shows(asked, "Bearer wanted") {
            return None;
        }
        let host = &asked.headers["host"];
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"my registry\"");
        Some(Reply::of(401, "").with("WWW-Authenticate", &challenge))
    })
    .await
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_and_for_this_repository_only() {
    let fake = with_token_server(|asked| shows(asked, ADA)).await;
    fake.manifest("v1", &json!({}));
    registry(&fake, ada()).manifest("v1").await.unwrap();
    let asked = fake.asked("/token");
    assert_eq!(asked[0].path, "/token?scope=repository%3Ateam%2Fapp%3Apull&service=my+registry");
}

#[tokio::test]
async fn an_identity_token_is_changed_into_an_access_token() {
    let fake = with_token_server(|asked| asked.body.contains("refresh_token=long%2Flived")).await;
    fake.manifest("v1", &json!({}));
    registry(&fake, Credentials::Identity(Secret::new("long/lived"))).manifest("v1").await.unwrap();
    let asked = fake.asked("/token");
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/token"));
    assert!(asked[0].body.contains("grant_type=refresh_token"), "{}", asked[0].body);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_token() {
    let fake = with_token_server(|_| true).await;
    let blobs: Vec<_> = (0..8_u8).map(|number| fake.blob(&[number])).collect();
    let registry = registry(&fake, Credentials::Anonymous);
    let asked = blobs.iter().map(|blob| read(&registry, &blob.digest));
    for blob in futures::future::join_all(asked).await {
        blob.unwrap();
    }
    assert_eq!(fake.asked("/token").len(), 1);
}

#[tokio::test]
async fn a_token_that_has_run_out_is_replaced_once() {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let fake = FakeRegistry::with(|asked| {
        if asked.path.starts_with("/token") {
            let number = GIVEN.fetch_add(1, Ordering::SeqCst);
            return Some(Reply::of(200, format!("{{\"token\":\"t{number}\"}}")));
        }
        let is_first_good = asked.path.contains("manifests") && shows(asked, "Bearer t0");
        if is_first_good || shows(asked, "Bearer t1") {
            return None;
        }
        let challenge = format!("Bearer realm=\"http://{}/token\"", asked.headers["host"]);
        Some(Reply::of(401, "").with("WWW-Authenticate", &challenge))
    })
    .await;
    fake.manifest("v1", &json!({}));
    let blob = fake.blob(b"x");
    let registry = registry(&fake, Credentials::Anonymous);
    registry.manifest("v1").await.unwrap();
    read(&registry, &blob.digest).await.unwrap();
    assert_eq!(GIVEN.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refused_password_is_told_without_it_and_moves_no_cursor() {
    let fake = with_token_server(|_| false).await;
    let error = registry(&fake, ada()).manifest("v1").await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(!told.contains("hunter2") && !told.contains('\x1b'), "{told}");
    assert!(error.to_string().ends_with("bad [2Jpassword"), "{error}");
}

#[tokio::test]
async fn a_login_never_goes_unencrypted_to_another_place_than_an_unencrypted_registry() {
    let reference: Reference = "registry.example/x".parse().unwrap();
    let registry = Registry::of(&reference, ada(), &options());
    let error = registry.fetch_token("http://registry.example/token", None).await.unwrap_err();
    assert!(matches!(error, RegistryError::OpenRealm { .. }), "{error:?}");
}

#[tokio::test]
async fn neither_an_answer_nor_a_challenge_leads_to_this_host_or_to_a_file() {
    let other = FakeRegistry::with(|_| Some(Reply::of(403, r#"{"errors":[{"message":"reached"}]}"#))).await;
    let place = other.host.clone();
    let fake = FakeRegistry::with(move |asked| {
        let (name, target) = asked.path.rsplit_once('/')?.1.split_once('-')?;
        let target = match target {
            "other" => format!("http://{place}/admin"),
            "link" => "http://169.254.169.254/latest".to_owned(),
            "file" => "file:///etc/shadow".to_owned(),
            _ => asked.path.clone(),
        };
        Some(match name {
            "realm" => Reply::of(401, "").with("WWW-Authenticate", &format!("Bearer realm=\"{target}\"")),
            _ => Reply::of(302, "").with("Location", &target),
        })
    })
    .await;
    for target in
        ["led-other", "led-link", "led-file", "led-round", "realm-other", "realm-link", "realm-file"]
    {
        let error = registry(&fake, ada()).manifest(target).await.unwrap_err();
        assert!(matches!(error, RegistryError::Fetch(FetchError::Led { .. })), "{target}: {error:?}");
        assert!(!error.is_transient(), "{target}");
    }
    assert!(other.asked("").is_empty(), "nobody was asked there");
}

#[tokio::test]
async fn a_trusted_place_gives_blobs_without_the_login_and_its_words_are_not_repeated() {
    let storage = FakeRegistry::with(|asked| {
        asked.path.ends_with("refused").then(|| Reply::of(403, r#"{"errors":[{"message":"inner secret"}]}"#))
    })
    .await;
    let blob = storage.blob(b"layer");
    let place = storage.host.clone();
    let fake = FakeRegistry::with(move |asked| {
        if !shows(asked, ADA) {
            return Some(Reply::of(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
        }
        Some(Reply::of(307, "").with("Location", &format!("http://{place}{}", asked.path)))
    })
    .await;
    let reference = format!("{}/team/app:v1", fake.host).parse().unwrap();
    let options = RegistryOptions { trusted: vec![storage.host.clone()], ..options() };
    let registry = Registry::of(&reference, ada(), &options);
    assert_eq!(read(&registry, &blob.digest).await.unwrap(), b"layer");
    let error = registry.manifest("refused").await.unwrap_err();
    assert!(matches!(&error, RegistryError::Denied { detail, .. } if detail.is_empty()), "{error:?}");
    assert!(storage.asked("").iter().all(|asked| !asked.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_told_in_seconds_or_as_a_date() {
    let date = jiff::Timestamp::now() + Duration::from_secs(3 * 86_400 - 60);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    let fake = FakeRegistry::with(move |asked| {
        let wait = if asked.path.ends_with("date") { date.as_str() } else { "99999999" };
        Some(Reply::of(429, "{}").with("Retry-After", wait))
    })
    .await;
    for (target, told) in [("seconds", "in 1158 days"), ("date", "in 3 days")] {
        let error = registry(&fake, Credentials::Anonymous).manifest(target).await.unwrap_err();
        assert!(error.to_string().ends_with(told), "{error}");
    }
}

#[tokio::test]
async fn a_document_that_trickles_is_late() {
    let trickle = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = trickle.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = trickle.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"1\r\n \r\n").await.is_ok() {
            beat.tick().await;
        }
    });
    let reference = format!("{host}/x").parse().unwrap();
    let patience = Patience { document: Duration::from_millis(200), ..impatience() };
    let options = RegistryOptions { patience, plain_http: Allowed, ..options() };
    let registry = Registry::of(&reference, Credentials::Anonymous, &options);
    let error = registry.manifest("latest").await.unwrap_err();
    assert!(matches!(error, RegistryError::Fetch(FetchError::Late { what: "manifest", .. })), "{error:?}");
}

#[tokio::test]
async fn only_loopback_is_asked_without_tls_unless_the_user_says_so() {
    let address = |reference: &'static str, plain_http| async move {
        let options = RegistryOptions { plain_http, ..options() };
        let registry = Registry::of(&reference.parse().unwrap(), Credentials::Anonymous, &options);
        registry.endpoint().await.unwrap().address.clone()
    };
    for (reference, plain_http, expected) in [
        ("alpine", OnLoopback, "https://registry-1.docker.io"),
        ("localhost:1/x", OnLoopback, "http://localhost:1"),
        ("127.0.0.2:1/x", OnLoopback, "http://127.0.0.2:1"),
        ("[::1]:1/x", OnLoopback, "http://[::1]:1"),
        ("localhost.example.com/x", OnLoopback, "https://localhost.example.com"),
        ("127.0.0.1.example.com/x", OnLoopback, "https://127.0.0.1.example.com"),
        ("10.0.0.1:5000/x", OnLoopback, "https://10.0.0.1:5000"),
        ("10.0.0.1:5000/x", Allowed, "http://10.0.0.1:5000"),
    ] {
        assert_eq!(address(reference, plain_http).await, expected, "{reference}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_at_once() {
    let fake = FakeRegistry::good().await;
    let error = registry(&fake, Credentials::Anonymous).manifest("v2").await.unwrap_err();
    assert_eq!(error.to_string(), format!("the registry `{}` has no `team/app:v2`", fake.host));
    assert_eq!(error.hint(), Some(Hint::advice("check the spelling of the repository and the tag")));
    assert_eq!(fake.asked("").len(), 1);
}

#[tokio::test]
async fn a_registry_in_trouble_is_asked_again_but_not_for_ever() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let fake = FakeRegistry::with(|asked| {
        let number = ASKED.fetch_add(1, Ordering::SeqCst);
        let is_bad = asked.path.ends_with("bad") || number < 2;
        is_bad.then(|| Reply::of(if number == 0 { 503 } else { 429 }, "").with("Retry-After", "100"))
    })
    .await;
    fake.manifest("v1", &json!({}));
    let registry = registry(&fake, Credentials::Anonymous);
    registry.manifest("v1").await.unwrap();
    let error = registry.manifest("bad").await.unwrap_err();
    let wait = Duration::from_secs(100);
    assert!(
        matches!(error, RegistryError::TooManyRequests { retry_after: Some(after), .. } if after == wait)
    );
    assert_eq!(fake.asked("bad").len(), 3);
    assert!(matches!(error.hint(), Some(Hint::LogIn { .. })));
}

#[tokio::test]
async fn a_silent_registry_is_given_up() {
    let fake = FakeRegistry::with(|_| Some(Reply::of(200, "{}").stops(1, Stop::Stall))).await;
    let begin = Instant::now();
    let error = registry(&fake, Credentials::Anonymous).manifest("v1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Fetch(FetchError::Silent { .. })), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "three times 0.3 s, and some slack");
}

#[tokio::test]
async fn a_manifest_by_digest_is_checked_and_one_without_end_is_refused() {
    let fake = FakeRegistry::with(|asked| {
        let body = if asked.path.ends_with("endless") { vec![b' '; 5 << 20] } else { b"{}".to_vec() };
        Some(Reply::of(200, body))
    })
    .await;
    let registry = registry(&fake, Credentials::Anonymous);
    let error = registry.manifest(&BlobDigest::of(b"other").to_string()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Fetch(FetchError::WrongDigest { .. })), "{error:?}");
    let error = registry.manifest("endless").await.unwrap_err();
    assert!(matches!(error, RegistryError::Fetch(FetchError::TooLarge { .. })), "{error:?}");
}

#[tokio::test]
async fn a_registry_that_nobody_listens_for_is_named() {
    let reference = "127.0.0.1:1/x".parse().unwrap();
    let registry = Registry::of(&reference, Credentials::Anonymous, &options());
    let error = registry.manifest("latest").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot reach the registry `127.0.0.1:1`");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("it refuses the connection"));
}

#[test]
fn a_registry_without_tls_or_with_an_authority_of_its_own_can_be_trusted() {
    let hint = |source| RegistryError::Fetch(FetchError::Reach { server: "x".to_owned(), source }).hint();
    assert_eq!(hint(Unreachable::NoTls), Some(Hint::TrustRegistry));
    assert_eq!(hint(Unreachable::UnknownAuthority), Some(Hint::TrustRegistry));
    assert!(matches!(hint(Unreachable::Expired), Some(Hint::Advice { .. })));
}

#[tokio::test]
async fn a_registry_on_this_host_that_speaks_tls_is_never_asked_without() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = [0];
            let _ = stream.read(&mut first).await;
            heard.push(first[0]);
            // An alert: no certificate of ours.
            let _ = stream.write_all(b"\x15\x03\x03\x00\x02\x02\x28").await;
        }
        heard
    });
    let patience = Patience { tries_max: 1, ..impatience() };
    let options = RegistryOptions { patience, ..options() };
    let registry = Registry::of(&format!("{host}/x").parse().unwrap(), ada(), &options);
    let error = registry.manifest("latest").await.unwrap_err();
    assert!(matches!(error, RegistryError::Fetch(FetchError::Reach { .. })), "{error:?}");
    assert_eq!(server.await.unwrap(), [22, 22], "only greetings of TLS");
}

#[tokio::test]
async fn a_manifest_that_arrives_compressed_is_the_one_that_was_asked_for() {
    use std::io::Write as _;
    let text = br#"{"schemaVersion":2,"manifests":[]}"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    let packed = encoder.finish().unwrap();
    let fake = FakeRegistry::with(move |asked| {
        let reply = Reply::of(200, packed.clone()).with("Content-Encoding", "gzip");
        asked.path.contains("/manifests/").then_some(reply)
    })
    .await;
    let registry =
        Registry::of(&format!("{}/x", fake.host).parse().unwrap(), Credentials::Anonymous, &options());
    let digest = BlobDigest::of(text);
    for target in ["latest".to_owned(), digest.to_string()] {
        let manifest = registry.manifest(&target).await.unwrap();
        assert_eq!((manifest.text.as_slice(), &manifest.digest), (&text[..], &digest));
    }
}

#[test]
fn a_bomb_of_a_document_is_too_large_and_a_damaged_one_stays_what_it_is() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![b' '; 100_000]).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(plain_document(packed.clone(), 99_999), None);
    assert_eq!(plain_document(packed, 100_000).map(|text| text.len()), Some(100_000));
    assert_eq!(plain_document(b"\x1f\x8bjunk".to_vec(), 100), Some(b"\x1f\x8bjunk".to_vec()));
}

#[test]
fn every_form_of_a_date_says_when_to_come_back() {
    let pause = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap());
    assert_eq!(pause("120"), Some(Duration::from_secs(120)));
    for text in ["Sat, 06 Nov 2094 08:49:37 GMT", "Sat Nov  6 08:49:37 2094"] {
        assert!(pause(text).is_some_and(|pause| pause > Duration::from_secs(1 << 30)), "{text}");
    }
    for past in
        ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
    {
        assert_eq!(pause(past), Some(Duration::ZERO), "{past}");
    }
    assert_eq!(pause("soon"), None);
}
