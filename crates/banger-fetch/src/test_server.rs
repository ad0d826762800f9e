//! A server on loopback that does exactly what a test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;

use crate::patience::Patience;
use crate::source::UrlSource;
use crate::web::{Web, WebOptions};

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The number of bytes of the body that are sent, and what happens then.
    stop: Option<(usize, Stop)>,
}

/// How a response ends before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// The connection is closed.
    Close,
    /// Nothing comes any more.
    Stall,
}

impl Reply {
    pub(crate) fn of(status: u16, body: &[u8]) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned(), stop: None }
    }

    /// The part of a file from an offset on.
    pub(crate) fn part(file: &[u8], start: usize) -> Self {
        let range = format!("bytes {start}-{}/{}", file.len() - 1, file.len());
        Self::of(206, &file[start..]).with("Content-Range", &range)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn stops(mut self, after: usize, how: Stop) -> Self {
        self.stop = Some((after, how));
        self
    }
}

/// A request, with its headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Which request it is, from 0 on.
    pub(crate) number: usize,
    /// The offset that it asks for, as in `bytes=5-`.
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

impl Asked {
    /// Returns the requested offset, 0 if there is none.
    pub(crate) fn offset(&self) -> usize {
        let range = self.range.as_deref().unwrap_or("bytes=0-");
        range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap()
    }
}

/// The server. It ends with its runtime.
pub(crate) struct TestServer {
    pub(crate) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Its own, which no authority has signed.
    certificate: Option<Vec<u8>>,
}

impl TestServer {
    /// Answers each request as the function says.
    pub(crate) async fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, answer).await
    }

    /// The same over TLS.
    pub(crate) async fn tls(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        Self { certificate: Some(cert.der().to_vec()), ..Self::start(Some(acceptor), answer).await }
    }

    async fn start(
        tls: Option<tokio_rustls::TlsAcceptor>,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/file", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, heard) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, heard, tls) = (Arc::clone(&answer), Arc::clone(&heard), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &heard, &*answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &heard, &*answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, asked, certificate: None }
    }

    /// A source on this server, for somebody with little patience.
    pub(crate) fn source(&self) -> UrlSource {
        let mut options = WebOptions { connect_deadline: impatience().connect, ..WebOptions::default() };
        let certificate = self.certificate.iter();
        options.certificates = certificate.map(|der| reqwest::Certificate::from_der(der).unwrap()).collect();
        let web = Web::new(self.url.clone(), options).unwrap();
        UrlSource { web, url: self.url.clone(), server: "the server".to_owned(), patience: impatience() }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the ranges that were requested, one for each request.
    pub(crate) fn ranges(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.range.unwrap_or_default()).collect()
    }
}

fn impatience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        idle: Duration::from_millis(300),
        document: Duration::from_secs(5),
        window: Duration::from_secs(5),
        tries_max: 3,
        first_pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(10),
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    requests: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked) -> Reply + ?Sized),
) {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && stream.read_line(&mut request).await.is_ok_and(|count| count > 0)
    {
    }
    let header = |name: &str| {
        let request = request.to_lowercase();
        request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    };
    let asked = {
        let mut requests = requests.lock().unwrap();
        let asked = Asked { number: requests.len(), range: header("range"), if_range: header("if-range") };
        requests.push(asked.clone());
        asked
    };
    let reply = answer(&asked);
    let headers: String = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = reply.body.len();
    let start = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n",
        reply.status
    );
    let body = reply.stop.map_or(&reply.body[..], |(after, _)| &reply.body[..after]);
    // The client may have gone away: that is its right.
    let _ = stream.write_all(start.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    if let Some((_, Stop::Stall)) = reply.stop {
        // Until the client gives up.
        let _ = stream.read(&mut [0]).await;
    }
    let _ = stream.shutdown().await;
}
