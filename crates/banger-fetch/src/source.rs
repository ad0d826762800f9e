//! Where a download comes from: something that answers requests for one file.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};

use crate::body::Body;
use crate::error::{FetchError, SourceError};
use crate::patience::Patience;
use crate::resume::{Encoding, Identity, encoding, range, start};
use crate::unreachable::Unreachable;
use crate::web::{Answer, Question, Web, WebError, WebOptions};

/// One file of a server. A second implementation is a blob of a registry, which also proves who asks.
pub trait Source: Sync {
    /// Why there is no response.
    type Error: SourceError;

    /// Names the server in errors.
    fn server(&self) -> &str;

    /// Returns how long the server is waited for.
    fn patience(&self) -> Patience;

    /// Requests the file with these headers, once. Only a success is a response.
    fn ask(&self, headers: HeaderMap) -> impl Future<Output = Result<Response, Self::Error>> + Send;
}

/// The file at a URL.
#[derive(Debug)]
pub struct UrlSource {
    pub(crate) web: Web,
    pub(crate) url: Url,
    pub(crate) server: String,
    pub(crate) patience: Patience,
}

impl UrlSource {
    /// The file at a URL of a server, which errors name like this.
    ///
    /// # Errors
    /// [`FetchError::Client`].
    pub fn new(
        url: Url,
        server: String,
        patience: Patience,
        trusted: Vec<String>,
    ) -> Result<Self, FetchError> {
        let options = WebOptions { connect_deadline: patience.connect, trusted, ..WebOptions::default() };
        let web = Web::new(url.clone(), options).map_err(|error| error.from_server(&server, patience))?;
        Ok(Self { web, url, server, patience })
    }
}

impl Source for UrlSource {
    type Error = FetchError;

    fn server(&self) -> &str {
        &self.server
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Response, FetchError> {
        let question = Question { headers, ..Question::get(self.url.clone()) };
        let answer = ask_in_time(&self.web, &question, &self.server, self.patience).await?;
        let status = answer.response.status();
        if status.is_success() {
            Ok(answer.response)
        } else {
            Err(FetchError::Status { server: self.server.clone(), status })
        }
    }
}

/// Sends a request and waits for the head of the response.
///
/// # Errors
/// [`FetchError::Reach`], [`FetchError::Silent`], [`FetchError::Led`].
pub async fn ask_in_time(
    web: &Web,
    question: &Question,
    server: &str,
    patience: Patience,
) -> Result<Answer, FetchError> {
    let waited = patience.connect + patience.idle;
    match tokio::time::timeout(waited, web.ask(question)).await {
        Ok(answer) => answer.map_err(|error| error.from_server(server, patience)),
        Err(_elapsed) => Err(FetchError::Silent { server: server.to_owned(), waited }),
    }
}

impl WebError {
    /// Names the server that the error is about.
    #[must_use]
    pub fn from_server(self, server: &str, patience: Patience) -> FetchError {
        let server = server.to_owned();
        match self {
            Self::Client(source) => FetchError::Client(source),
            Self::Reach(error) if error.is_timeout() && !error.is_connect() => {
                FetchError::Silent { server, waited: patience.connect + patience.idle }
            }
            Self::Reach(error) => {
                let error = error.without_url();
                tracing::info!(server, ?error, "a server cannot be reached");
                FetchError::Reach { server, source: Unreachable::of(&error) }
            }
            Self::Detour(source) => FetchError::Led { server, source },
        }
    }
}

/// A response that brings the file from an offset on.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) body: Body,
    /// Where in the file the body starts.
    pub(crate) offset: u64,
    /// How the server has compressed the body.
    pub(crate) encoding: Encoding,
    pub(crate) identity: Identity,
}

/// Requests the file from an offset on, or all of it where the server cannot do that; see [`Opened::offset`].
pub(crate) async fn open_at<S: Source>(
    source: &S,
    offset: u64,
    known: Option<&Identity>,
) -> Result<Opened, S::Error> {
    let tag = known.and_then(|known| known.tag.as_ref());
    let mut response = match source.ask(range(offset, tag)).await {
        Err(error) if offset > 0 && error.is_out_of_range() => source.ask(HeaderMap::new()).await?,
        asked => asked?,
    };
    if is_partial(&response) && encoding(response.headers()) != Encoding::Identity {
        // A part of what was compressed: nothing can be appended to that.
        response = source.ask(HeaderMap::new()).await?;
    }
    let headers = response.headers();
    let offset = if is_partial(&response) { start(headers) } else { 0 };
    let (encoding, identity) = (encoding(headers), Identity::of(headers));
    let body = Body::new(response, source.server(), source.patience());
    Ok(Opened { body, offset, encoding, identity })
}

fn is_partial(response: &Response) -> bool {
    response.status() == StatusCode::PARTIAL_CONTENT
}
