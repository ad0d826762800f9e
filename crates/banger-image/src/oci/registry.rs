//! The client of a registry: manifests and blobs of one repository (distribution spec 1.1, "Pull").
//!
//! Every wait has a deadline, every answer a greatest size, and what was asked for by digest is checked.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banger_fetch::Patience;
use banger_fetch::{Answer, Pace, Question, Web, WebError, WebOptions, names_this_host, speaks_tls};
use reqwest::header::{ACCEPT, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use super::authorization::{Challenge, basic_header, bearer_header, token_of};
use super::certificates;
use super::content_encoding;
use super::credentials::Credentials;
use super::digest::BlobDigest;
use super::documents::MANIFEST_TYPES;
use super::reference::Reference;
use super::registry_error::RegistryError;
use super::secret::Secret;
use super::text::plain;
use super::tries::Tries;
use crate::formats::compression::Compression;

/// The specification asks clients to take at least 4 MiB.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const TOKEN_BYTES_MAX: u64 = 1 << 20;
const REASON_BYTES_MAX: u64 = 64 << 10;
const REASON_CHARACTERS_MAX: usize = 200;
/// Where the API of `docker.io` is.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// How we call ourselves to token servers of the `OAuth2` form.
const CLIENT_ID: &str = "banger";

/// Whether a registry may be asked without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only one on this host, which never leaves it.
    #[default]
    OnLoopback,
    /// The user said so.
    Allowed,
}

/// How registries are spoken to.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistryOptions {
    pub(crate) plain_http: PlainHttp,
    pub(crate) patience: Patience,
    /// Directories with a directory per registry that holds `*.crt`, as docker has them.
    pub(crate) certificates: Vec<PathBuf>,
    /// Places where registries may lead though they are close to this host.
    pub(crate) trusted: Vec<String>,
}

/// One repository of a registry.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Found with the first question.
    endpoint: OnceCell<Endpoint>,
    options: RegistryOptions,
    name: String,
    repository: String,
    credentials: Credentials,
    /// What the last challenge led to. Held while a new token is fetched, so that one is fetched for all.
    authorization: Mutex<Authorization>,
    patience: Patience,
}

/// How a registry is spoken to.
#[derive(Debug)]
struct Endpoint {
    web: Web,
    /// Scheme and host.
    address: String,
    is_plain: bool,
}

#[derive(Debug, Default)]
struct Authorization {
    header: Option<HeaderValue>,
    /// Grows with each new header, so that a refused one is replaced once.
    generation: u64,
}

/// A manifest and its digest.
#[derive(Debug)]
pub(crate) struct RawManifest {
    pub(crate) text: Vec<u8>,
    pub(crate) digest: BlobDigest,
}

/// A blob on its way.
#[derive(Debug)]
pub(crate) struct BlobStream {
    response: Response,
    registry: String,
    patience: Patience,
    pace: Pace,
    /// Where in the blob the stream starts.
    pub(crate) offset: u64,
    /// How the server has compressed it on its way.
    pub(crate) encoding: Compression,
}

impl BlobStream {
    fn new(response: Response, registry: &str, patience: Patience, offset: u64) -> Self {
        let encoding = content_encoding::of(response.headers());
        Self { response, registry: registry.to_owned(), patience, pace: patience.pace(), offset, encoding }
    }

    /// Returns the next bytes; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<bytes::Bytes>, RegistryError> {
        let registry = || self.registry.clone();
        let begin = Instant::now();
        match tokio::time::timeout(self.patience.idle, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) if self.pace.is_kept(begin.elapsed(), bytes.len()) => Ok(Some(bytes)),
            Ok(Ok(Some(_))) => {
                Err(RegistryError::Slow { registry: registry(), window: self.patience.window })
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(broken(registry(), error, self.patience)),
            Err(_elapsed) => Err(RegistryError::Silent { registry: registry(), waited: self.patience.idle }),
        }
    }
}

impl Registry {
    /// The repository that a reference names. Nothing is asked yet.
    pub(crate) fn of(reference: &Reference, credentials: Credentials, options: &RegistryOptions) -> Self {
        Self {
            endpoint: OnceCell::new(),
            options: options.clone(),
            name: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            credentials,
            authorization: Mutex::default(),
            patience: options.patience,
        }
    }

    /// Returns how the registry is spoken to. One on this host is asked whether it speaks TLS, as docker and podman do: it
    /// is spoken to without only where it does not, or where the user said so.
    async fn endpoint(&self) -> Result<&Endpoint, RegistryError> {
        let host = if self.name == "docker.io" { DOCKER_HUB_HOST } else { &self.name };
        let make = || async {
            let is_plain = match self.options.plain_http {
                PlainHttp::Allowed => true,
                PlainHttp::OnLoopback if !is_loopback(host) => false,
                PlainHttp::OnLoopback => {
                    let place = if has_port(host) { host.to_owned() } else { format!("{host}:443") };
                    // One that cannot be reached is told by the question itself; nothing is decided then.
                    !speaks_tls(&place, self.patience.connect).await.unwrap_or(false)
                }
            };
            let address = format!("{}://{host}", if is_plain { "http" } else { "https" });
            Ok(Endpoint { web: web(&self.name, &address, is_plain, &self.options)?, address, is_plain })
        };
        self.endpoint.get_or_try_init(make).await
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// Fetches a manifest by tag or digest.
    pub(crate) async fn manifest(&self, target: &str) -> Result<RawManifest, RegistryError> {
        let path = format!("manifests/{target}");
        let mut headers = HeaderMap::new();
        for accepted in MANIFEST_TYPES {
            headers.append(ACCEPT, HeaderValue::from_static(accepted));
        }
        let mut tries = Tries::new(self.patience);
        loop {
            match self.manifest_once(&path, &headers, target).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn manifest_once(
        &self,
        path: &str,
        headers: &HeaderMap,
        target: &str,
    ) -> Result<RawManifest, RegistryError> {
        let response = self.get(path, headers).await?;
        let text = self.body(response, "manifest", MANIFEST_BYTES_MAX).await?;
        let digest = BlobDigest::of(&text);
        match target.parse::<BlobDigest>() {
            Ok(wanted) if wanted != digest => {
                Err(RegistryError::WrongDigest { registry: self.name.clone(), wanted, found: digest })
            }
            // A tag says nothing about what is in it.
            Ok(_) | Err(_) => Ok(RawManifest { text, digest }),
        }
    }

    /// Begins to fetch a blob, from an offset on where the registry can; see [`BlobStream::offset`]. Tries once.
    pub(crate) async fn blob(&self, digest: &BlobDigest, offset: u64) -> Result<BlobStream, RegistryError> {
        let path = format!("blobs/{digest}");
        let mut headers = HeaderMap::new();
        if offset > 0 {
            headers
                .extend(HeaderValue::try_from(format!("bytes={offset}-")).ok().map(|value| (RANGE, value)));
        }
        let mut response = self.get(&path, &headers).await;
        if let Err(RegistryError::Status { status: 416, .. }) = response {
            response = self.get(&path, &HeaderMap::new()).await;
        }
        let mut response = response?;
        let is_partial = response.status() == StatusCode::PARTIAL_CONTENT;
        if is_partial && content_encoding::of(response.headers()) != Compression::None {
            // A part of what was compressed: nothing can be appended to that.
            response = self.get(&path, &HeaderMap::new()).await?;
        }
        let offset = if response.status() == StatusCode::PARTIAL_CONTENT { start_of(&response) } else { 0 };
        Ok(BlobStream::new(response, &self.name, self.patience, offset))
    }

    /// Asks once, and once more when the registry wants to know who asks.
    async fn get(&self, path: &str, headers: &HeaderMap) -> Result<Response, RegistryError> {
        let address = &self.endpoint().await?.address;
        let url = url_of(&self.name, &format!("{address}/v2/{}/{path}", self.repository))?;
        let (authorization, generation) = {
            let known = self.authorization.lock().await;
            (known.header.clone(), known.generation)
        };
        let mut question = Question { headers: headers.clone(), authorization, ..Question::get(url) };
        let answer = self.ask(&question).await?;
        // Who asks is the registry's to know, and not that of a place that it has led to.
        if answer.response.status() != StatusCode::UNAUTHORIZED || !answer.is_of_the_asked {
            return self.accept(path, answer).await;
        }
        question.authorization = self.authorize(&answer.response, generation).await?;
        if question.authorization.is_none() {
            return self.accept(path, answer).await;
        }
        let answer = self.ask(&question).await?;
        self.accept(path, answer).await
    }

    /// Returns a header for what an answer asks for, or nothing when we have nothing to show.
    async fn authorize(
        &self,
        refusal: &Response,
        generation: u64,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut known = self.authorization.lock().await;
        if known.generation != generation {
            return Ok(known.header.clone());
        }
        let challenge = Challenge::of(refusal.headers())
            .ok_or_else(|| RegistryError::Challenge { registry: self.name.clone() })?;
        let header = match challenge {
            Challenge::Basic => basic_header(&self.credentials),
            Challenge::Bearer { realm, service } => {
                bearer_header(&self.fetch_token(&realm, service.as_deref()).await?)
            }
        };
        known.header.clone_from(&header);
        known.generation += 1;
        Ok(header)
    }

    async fn fetch_token(&self, realm: &str, service: Option<&str>) -> Result<Secret, RegistryError> {
        let registry = || self.name.clone();
        let mut url =
            Url::parse(realm).map_err(|_no_url| RegistryError::Challenge { registry: registry() })?;
        if url.scheme() == "http" && !self.endpoint().await?.is_plain {
            let realm = plain(url.host_str().unwrap_or_default(), REASON_CHARACTERS_MAX);
            return Err(RegistryError::OpenRealm { registry: registry(), realm });
        }
        let scope = format!("repository:{}:pull", self.repository);
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(service.map(|service| ("service", service)));
        let question = match &self.credentials {
            Credentials::Identity(token) => {
                let more = [
                    ("grant_type", "refresh_token"),
                    ("client_id", CLIENT_ID),
                    ("refresh_token", token.expose()),
                ];
                let fields = fields.into_iter().chain(more);
                let form = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
                Question { form: Some(form), ..Question::get(url) }
            }
            Credentials::Anonymous | Credentials::Basic { .. } => {
                url.query_pairs_mut().extend_pairs(&fields);
                Question { authorization: basic_header(&self.credentials), ..Question::get(url) }
            }
        };
        let answer = self.ask(&question).await?;
        let response = self.accept("token", answer).await?;
        let answer = self.body(response, "token", TOKEN_BYTES_MAX).await?;
        token_of(&answer).ok_or_else(|| RegistryError::NoToken { registry: registry() })
    }

    async fn ask(&self, question: &Question) -> Result<Answer, RegistryError> {
        let registry = self.name.clone();
        let waited = self.patience.connect + self.patience.idle;
        match tokio::time::timeout(waited, self.endpoint().await?.web.ask(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(WebError::Client(source))) => Err(RegistryError::Client(source)),
            Ok(Err(WebError::Reach(error))) if error.is_timeout() => {
                Err(RegistryError::Silent { registry, waited })
            }
            Ok(Err(WebError::Reach(source))) => Err(RegistryError::Reach { registry, source }),
            Ok(Err(WebError::Detour(source))) => Err(RegistryError::Led { registry, source }),
            Err(_elapsed) => Err(RegistryError::Silent { registry, waited }),
        }
    }

    /// Makes an error of an answer that is none.
    async fn accept(&self, path: &str, answer: Answer) -> Result<Response, RegistryError> {
        let Answer { response, is_of_the_asked } = answer;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        let (registry, repository) = (self.name.clone(), self.repository.clone());
        let detail = if is_of_the_asked {
            // Without a reason the status has to do.
            reason(&self.body(response, "reason", REASON_BYTES_MAX).await.unwrap_or_default())
        } else {
            // What others answer is neither the registry's reason nor for everybody's eyes.
            String::new()
        };
        Err(match status {
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { registry, repository, detail },
            StatusCode::FORBIDDEN => RegistryError::Denied { registry, repository, detail },
            StatusCode::NOT_FOUND => {
                let what = match path.strip_prefix("manifests/") {
                    Some(target) if target.contains(':') => format!("{repository}@{target}"),
                    Some(target) => format!("{repository}:{target}"),
                    None => format!("{repository}/{path}"),
                };
                RegistryError::NotFound { registry, what }
            }
            StatusCode::TOO_MANY_REQUESTS => RegistryError::TooManyRequests { registry, detail, retry_after },
            status => RegistryError::Status { registry, status: status.as_u16(), detail, retry_after },
        })
    }

    /// Reads an answer that fits into memory.
    async fn body(
        &self,
        response: Response,
        what: &'static str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut stream = BlobStream::new(response, &self.name, self.patience, 0);
        let whole = async {
            let mut body = Vec::new();
            while let Some(bytes) = stream.next().await? {
                if body.len() as u64 + bytes.len() as u64 > bytes_max {
                    return Err(RegistryError::TooLarge { registry: self.name.clone(), what, bytes_max });
                }
                body.extend_from_slice(&bytes);
            }
            plain_body(body, bytes_max).ok_or_else(|| RegistryError::TooLarge {
                registry: self.name.clone(),
                what,
                bytes_max,
            })
        };
        let waited = self.patience.document;
        match tokio::time::timeout(waited, whole).await {
            Ok(read) => read,
            Err(_elapsed) => Err(RegistryError::Late { registry: self.name.clone(), what, waited }),
        }
    }
}

/// Returns a document as it was before a server compressed it, which some do without being asked: documents are JSON, which
/// begins like no compression. What is damaged stays as it is; nothing where it is larger than it may be.
fn plain_body(body: Vec<u8>, bytes_max: u64) -> Option<Vec<u8>> {
    let Ok(compression @ (Compression::Gzip | Compression::Zstd)) = Compression::of_start(&body) else {
        return Some(body);
    };
    let mut text = Vec::new();
    let read = compression.buffered(body.as_slice()).take(bytes_max.saturating_add(1)).read_to_end(&mut text);
    match read {
        Ok(_) if text.len() as u64 > bytes_max => None,
        Ok(_) => Some(text),
        Err(_damaged) => Some(body),
    }
}

fn web(name: &str, address: &str, is_plain: bool, options: &RegistryOptions) -> Result<Web, RegistryError> {
    let certificates = if is_plain { Vec::new() } else { certificates::read(&options.certificates, name)? };
    let trusted = options.trusted.clone();
    let web = WebOptions { connect_deadline: options.patience.connect, certificates, trusted };
    Web::new(url_of(name, address)?, web).map_err(|error| match error {
        WebError::Client(source) | WebError::Reach(source) => RegistryError::Client(source),
        WebError::Detour(source) => RegistryError::Led { registry: name.to_owned(), source },
    })
}

fn url_of(registry: &str, address: &str) -> Result<Url, RegistryError> {
    Url::parse(address).map_err(|_no_url| RegistryError::Address { registry: registry.to_owned() })
}

/// Returns how long to wait before the next question: seconds, or a date of one of the three forms (RFC 9110, sections
/// 10.2.3 and 5.6.7).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let old = |form: &str| jiff::civil::DateTime::strptime(form, text).ok()?.in_tz("UTC").ok();
    let then = jiff::fmt::rfc2822::parse(text)
        .ok()
        .or_else(|| old("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| old("%a %b %e %H:%M:%S %Y"))?
        .timestamp();
    Some(then.duration_since(jiff::Timestamp::now()).try_into().unwrap_or_default())
}

fn broken(registry: String, error: reqwest::Error, patience: Patience) -> RegistryError {
    if error.is_timeout() {
        RegistryError::Silent { registry, waited: patience.idle }
    } else {
        RegistryError::Broken { registry, source: error.without_url() }
    }
}

/// Returns where a partial answer starts. One that does not say so is taken from the start on, and so found wrong.
fn start_of(response: &Response) -> u64 {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    start.unwrap_or(0)
}

/// Returns what a registry says about an error (distribution spec, "Error Codes"), as one line.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let first = errors.into_iter().next();
    let text = first.map(|one| if one.message.is_empty() { one.code } else { one.message });
    plain(&text.unwrap_or_default(), REASON_CHARACTERS_MAX)
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

/// Tells whether a host with an optional port is this one.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    names_this_host(name)
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
