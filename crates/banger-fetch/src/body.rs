//! The body of a response as it arrives. Silence and a trickle end it.

use std::time::Instant;

use bytes::Bytes;
use reqwest::Response;

use crate::error::FetchError;
use crate::pace::Pace;
use crate::patience::Patience;

/// The body of one response.
#[derive(Debug)]
pub struct Body {
    response: Response,
    server: String,
    patience: Patience,
    pace: Pace,
}

impl Body {
    /// The body of a response from a server, which errors name like this.
    #[must_use]
    pub fn new(response: Response, server: &str, patience: Patience) -> Self {
        Self { response, server: server.to_owned(), patience, pace: patience.pace() }
    }

    /// Returns the next bytes, or nothing at the end.
    ///
    /// # Errors
    /// [`FetchError::Silent`], [`FetchError::Slow`], [`FetchError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let server = || self.server.clone();
        let (begin, waited) = (Instant::now(), self.patience.idle);
        match tokio::time::timeout(waited, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) if self.pace.is_kept(begin.elapsed(), bytes.len()) => Ok(Some(bytes)),
            Ok(Ok(Some(_))) => Err(FetchError::Slow { server: server(), window: self.patience.window }),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) if error.is_timeout() => Err(FetchError::Silent { server: server(), waited }),
            Ok(Err(error)) => {
                let (server, error) = (server(), error.without_url());
                tracing::info!(server, ?error, "the connection was lost");
                Err(FetchError::Broken { server })
            }
            Err(_elapsed) => Err(FetchError::Silent { server: server(), waited }),
        }
    }

    /// Reads a document, which fits into memory.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`], [`FetchError::Late`], and those of [`Body::next`].
    pub async fn whole(mut self, what: &'static str, bytes_max: u64) -> Result<Vec<u8>, FetchError> {
        let (server, waited) = (self.server.clone(), self.patience.document);
        let whole = async {
            let mut document = Vec::new();
            while let Some(bytes) = self.next().await? {
                if document.len() as u64 + bytes.len() as u64 > bytes_max {
                    return Err(FetchError::TooLarge { server: self.server.clone(), what, bytes_max });
                }
                document.extend_from_slice(&bytes);
            }
            Ok(document)
        };
        match tokio::time::timeout(waited, whole).await {
            Ok(read) => read,
            Err(_elapsed) => Err(FetchError::Late { server, what, waited }),
        }
    }
}
