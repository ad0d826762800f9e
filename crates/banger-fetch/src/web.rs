//! Requests to one server, and to the places to which it redirects.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, ClientBuilder, Method, Response, Url, redirect};
use tokio::sync::OnceCell;

use crate::detour::Detour;
use crate::guard::{Guard, judge, proxies};
use crate::reach::Reach;

const REDIRECTS_MAX: usize = 10;

/// How a server is contacted.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// How long a connection attempt may take.
    pub connect_deadline: Duration,
    /// Certificates that are trusted in addition to those of the host.
    pub certificates: Vec<Certificate>,
    /// Places that the user trusts, as `host` or `host:port`: redirections may lead there, wherever they are.
    pub trusted: Vec<String>,
}

/// A client for one server that the user named, and for the places to which it redirects.
#[derive(Debug)]
pub struct Web {
    origin: Url,
    direct: Client,
    /// Made at the first redirection to another place.
    elsewhere: OnceCell<Client>,
    /// The same for places on this host, for which no proxy is used.
    close: OnceCell<Client>,
    reach: OnceCell<Reach>,
    /// The peer of the latest response: the server itself, or a proxy.
    peer: Mutex<Option<SocketAddr>>,
    options: WebOptions,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Question {
    /// The address to request.
    pub url: Url,
    /// Headers that may be sent to any server.
    pub headers: HeaderMap,
    /// Credentials, sent only to the server of the original address.
    pub authorization: Option<HeaderValue>,
    /// Form fields to post. They contain a secret, so redirections are not followed.
    pub form: Option<Vec<(String, String)>>,
}

impl Question {
    /// Makes a GET request.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { url, headers: HeaderMap::new(), authorization: None, form: None }
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// Status, headers, and the body as it arrives.
    pub response: Response,
    /// Whether the response comes from the requested server, not from one that it redirected to.
    pub is_of_the_asked: bool,
}

/// The reason why there is no response.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum WebError {
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot reach it")]
    Reach(#[source] reqwest::Error),
    #[error("its redirect was refused")]
    Detour(#[source] Detour),
}

impl Web {
    /// Makes a client for the server of an address. It sends nothing yet.
    ///
    /// # Errors
    /// [`WebError::Client`].
    pub fn new(origin: Url, options: WebOptions) -> Result<Self, WebError> {
        let mut builder = builder(&options);
        if is_on_this_host(&origin) {
            builder = builder.no_proxy();
        }
        // Without TLS, a host that has no certificates is sufficient.
        builder = if origin.scheme() == "http" {
            builder.tls_certs_only([])
        } else {
            builder.tls_certs_merge(options.certificates.clone())
        };
        let direct = builder.build().map_err(WebError::Client)?;
        let (elsewhere, close, reach) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Ok(Self { origin, direct, elsewhere, close, reach, peer: Mutex::default(), options })
    }

    /// Sends a request, and follows redirections as far as they are allowed.
    ///
    /// # Errors
    /// [`WebError`].
    pub async fn ask(&self, question: &Question) -> Result<Answer, WebError> {
        let mut url = question.url.clone();
        self.check(&self.origin, &url).await.map_err(WebError::Detour)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.ask_once(&url, question).await?;
            let Some(next) = lead(&response, &url).map_err(WebError::Detour)? else {
                return Ok(Answer { response, is_of_the_asked: is_same_place(&url, &question.url) });
            };
            if question.form.is_some() {
                return Err(WebError::Detour(Detour::Secret { place: place(&next) }));
            }
            self.check(&url, &next).await.map_err(WebError::Detour)?;
            url = next;
        }
        Err(WebError::Detour(Detour::TooOften { max: REDIRECTS_MAX }))
    }

    async fn ask_once(&self, url: &Url, question: &Question) -> Result<Response, WebError> {
        let is_origin = is_same_place(url, &self.origin);
        let client = if is_origin { &self.direct } else { self.elsewhere(url).await? };
        let method = if question.form.is_some() { Method::POST } else { Method::GET };
        let mut request = client.request(method, url.clone()).headers(question.headers.clone());
        if let Some(authorization) = &question.authorization
            && is_same_place(url, &question.url)
        {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(form) = &question.form {
            request = request.form(form);
        }
        let response = request.send().await.map_err(|error| match detour_in(&error) {
            Some(detour) => WebError::Detour(detour),
            None => WebError::Reach(error.without_url()),
        })?;
        if is_origin {
            *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = response.remote_addr();
        }
        Ok(response)
    }

    /// Tells whether one place may redirect to another.
    async fn check(&self, from: &Url, to: &Url) -> Result<(), Detour> {
        if !matches!(to.scheme(), "http" | "https") {
            return Err(Detour::Scheme { scheme: to.scheme().chars().take(32).collect() });
        }
        if from.scheme() == "https" && to.scheme() == "http" {
            return Err(Detour::Unencrypted { place: place(to) });
        }
        if is_same_place(to, &self.origin) || is_same_place(from, to) || self.is_trusted(to) {
            return Ok(());
        }
        // Behind a proxy this host may be unable to resolve the name; then the proxy decides.
        let addresses = addresses(to).await.unwrap_or_default();
        judge(self.reach().await, &place(to), &addresses)
    }

    fn is_trusted(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.options.trusted.iter().any(|trusted| *trusted == host || *trusted == place(url))
    }

    /// Returns from where the named server can be reached. Its name and the connection must agree, so that neither a proxy
    /// nor a forged DNS answer can make the server appear close.
    async fn reach(&self) -> Reach {
        let peer = *self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        let find = || async {
            let named = addresses(&self.origin).await.unwrap_or_default();
            let named = named.iter().map(|address| Reach::of(address.ip())).max();
            match (named, peer) {
                (Some(named), Some(peer)) => named.min(Reach::of(peer.ip())),
                (None, _) | (_, None) => Reach::World,
            }
        };
        *self.reach.get_or_init(find).await
    }

    async fn elsewhere(&self, url: &Url) -> Result<&Client, WebError> {
        let origin = self.reach().await;
        let is_close = is_on_this_host(url);
        let make = || async {
            let hosts = self.options.trusted.iter().map(|place| host_of(place).to_owned());
            let guard = Guard { origin, exempt: proxies().into_iter().chain(hosts).collect() };
            let builder = builder(&self.options).tls_certs_merge(self.options.certificates.clone());
            let builder = if is_close { builder.no_proxy() } else { builder };
            builder.dns_resolver(guard).build().map_err(WebError::Client)
        };
        if is_close { &self.close } else { &self.elsewhere }.get_or_try_init(make).await
    }
}

/// Tells whether connections to an address never leave this host.
#[must_use]
pub fn is_on_this_host(url: &Url) -> bool {
    names_this_host(url.host_str().unwrap_or_default().trim_matches(['[', ']']))
}

/// Tells whether a host, without port and brackets, is this host by name or address.
#[must_use]
pub fn names_this_host(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn builder(options: &WebOptions) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that another part of the program has installed a provider already, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_deadline)
        .redirect(redirect::Policy::none())
}

/// Returns where a response redirects to, if it does.
fn lead(response: &Response, from: &Url) -> Result<Option<Url>, Detour> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let location = location.to_str().ok().and_then(|text| from.join(text).ok());
    let mut url = location.ok_or(Detour::Unreadable)?;
    // A user name and password in the address are sent to nobody. Addresses that cannot have them have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok(Some(url))
}

fn is_same_place(one: &Url, other: &Url) -> bool {
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    place(one) == place(other)
}

/// Returns host and port as users write them.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns the host of a result of [`place`].
fn host_of(place: &str) -> &str {
    match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => place,
    }
}

async fn addresses(url: &Url) -> Option<Vec<SocketAddr>> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    match host.parse::<IpAddr>() {
        Ok(address) => Some(vec![SocketAddr::new(address, port)]),
        Err(_name) => Some(tokio::net::lookup_host((host, port)).await.ok()?.collect()),
    }
}

/// Returns the guard's refusal, which arrives wrapped in errors of the libraries.
fn detour_in(error: &reqwest::Error) -> Option<Detour> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(detour) = error.downcast_ref::<Detour>() {
            return Some(detour.clone());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
