//! The client of a registry: manifests and blobs of one repository (distribution spec 1.1, "Pull").
//!
//! Every wait has a deadline, every answer a greatest size, and what was asked for by digest is checked.

use std::io::Read as _;

use banger_fetch::{Answer, Body, FetchError, Patience, Question, Source, Tries, ask_in_time};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use tokio::sync::{Mutex, OnceCell};

use super::authorization::Authorization;
use super::credentials::Credentials;
use super::digest::BlobDigest;
use super::documents::MANIFEST_TYPES;
use super::endpoint::{Endpoint, RegistryOptions, server_of, url_of};
use super::reference::Reference;
use super::refusal::{Refusal, reason, retry_after};
use super::registry_error::RegistryError;
use crate::formats::compression::Compression;

/// The specification asks clients to take at least 4 MiB.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const REASON_BYTES_MAX: u64 = 64 << 10;

/// One repository of a registry.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Found with the first question.
    endpoint: OnceCell<Endpoint>,
    options: RegistryOptions,
    name: String,
    /// Its name in errors.
    server: String,
    repository: String,
    credentials: Credentials,
    /// What the last challenge led to. Held while a new token is fetched, so that one is fetched for all.
    authorization: Mutex<Authorization>,
}

/// A manifest and its digest.
#[derive(Debug)]
pub(crate) struct RawManifest {
    pub(crate) text: Vec<u8>,
    pub(crate) digest: BlobDigest,
}

impl Registry {
    /// The repository that a reference names. Nothing is asked yet.
    pub(crate) fn of(reference: &Reference, credentials: Credentials, options: &RegistryOptions) -> Self {
        Self {
            endpoint: OnceCell::new(),
            options: options.clone(),
            name: reference.registry().to_owned(),
            server: server_of(reference.registry()),
            repository: reference.repository().to_owned(),
            credentials,
            authorization: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn authorization(&self) -> &Mutex<Authorization> {
        &self.authorization
    }

    pub(crate) async fn endpoint(&self) -> Result<&Endpoint, RegistryError> {
        self.endpoint.get_or_try_init(|| Endpoint::find(&self.name, &self.options)).await
    }

    /// Returns a blob as something that can be downloaded.
    pub(crate) fn blob<'a>(&'a self, digest: &'a BlobDigest) -> Blob<'a> {
        Blob { registry: self, digest }
    }

    /// Refuses something that is larger than it may be.
    pub(crate) fn too_large(&self, what: &'static str, bytes_max: u64) -> RegistryError {
        RegistryError::Fetch(FetchError::TooLarge { server: self.server.clone(), what, bytes_max })
    }

    /// Fetches a manifest by tag or digest.
    pub(crate) async fn manifest(&self, target: &str) -> Result<RawManifest, RegistryError> {
        let path = format!("manifests/{target}");
        let mut headers = HeaderMap::new();
        for accepted in MANIFEST_TYPES {
            headers.append(ACCEPT, HeaderValue::from_static(accepted));
        }
        let mut tries = Tries::new(self.options.patience);
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
        let text = self.document(response, "manifest", MANIFEST_BYTES_MAX).await?;
        let digest = BlobDigest::of(&text);
        match target.parse::<BlobDigest>() {
            Ok(wanted) if wanted != digest => {
                let (server, wanted, found) =
                    (self.server.clone(), wanted.hex().to_owned(), digest.hex().to_owned());
                Err(RegistryError::Fetch(FetchError::WrongDigest { server, what: "manifest", wanted, found }))
            }
            // A tag says nothing about what is in it.
            Ok(_) | Err(_) => Ok(RawManifest { text, digest }),
        }
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

    pub(crate) async fn ask(&self, question: &Question) -> Result<Answer, RegistryError> {
        let web = &self.endpoint().await?.web;
        let answer = ask_in_time(web, question, &self.server, self.options.patience).await;
        answer.map_err(RegistryError::Fetch)
    }

    /// Makes an error of an answer that is not a success.
    pub(crate) async fn accept(&self, path: &str, answer: Answer) -> Result<Response, RegistryError> {
        let Answer { response, is_of_the_asked } = answer;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        let detail = if is_of_the_asked {
            // Without a reason the status has to do.
            reason(&self.document(response, "reason", REASON_BYTES_MAX).await.unwrap_or_default())
        } else {
            // What others answer is neither the registry's reason nor for everybody's eyes.
            String::new()
        };
        let (registry, repository) = (&self.name, &self.repository);
        Err(Refusal { registry, repository, path, status, retry_after, detail }.into_error())
    }

    /// Reads an answer that fits into memory.
    pub(crate) async fn document(
        &self,
        response: Response,
        what: &'static str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let body = Body::new(response, &self.server, self.options.patience);
        let document = body.whole(what, bytes_max).await.map_err(RegistryError::Fetch)?;
        plain_document(document, bytes_max).ok_or_else(|| self.too_large(what, bytes_max))
    }
}

/// A blob of a repository.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    registry: &'a Registry,
    digest: &'a BlobDigest,
}

impl Source for Blob<'_> {
    type Error = RegistryError;

    fn server(&self) -> &str {
        &self.registry.server
    }

    fn patience(&self) -> Patience {
        self.registry.options.patience
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Response, RegistryError> {
        self.registry.get(&format!("blobs/{}", self.digest), &headers).await
    }
}

/// Returns a document as it was before a server compressed it, which some do without being asked: documents are JSON, which
/// begins like no compression. What is damaged stays as it is; nothing where it is larger than it may be.
fn plain_document(document: Vec<u8>, bytes_max: u64) -> Option<Vec<u8>> {
    let Ok(compression @ (Compression::Gzip | Compression::Zstd)) = Compression::of_start(&document) else {
        return Some(document);
    };
    let mut text = Vec::new();
    let packed = compression.buffered(document.as_slice());
    let read = packed.take(bytes_max.saturating_add(1)).read_to_end(&mut text);
    match read {
        Ok(_) if text.len() as u64 > bytes_max => None,
        Ok(_) => Some(text),
        Err(_damaged) => Some(document),
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
