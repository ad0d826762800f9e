//! The login to a registry: the answer to its challenge, with a password or with a token of its token server.

use banger_fetch::Question;
use reqwest::header::HeaderValue;
use reqwest::{Response, Url};

use super::authorization::{Challenge, basic_header, bearer_header, token_of};
use super::credentials::Credentials;
use super::registry::Registry;
use super::registry_error::RegistryError;
use super::secret::Secret;
use super::text::plain;

const TOKEN_BYTES_MAX: u64 = 1 << 20;
/// Longest name of a token server in an error.
const REALM_CHARACTERS_MAX: usize = 200;
/// How we call ourselves to token servers of the `OAuth2` form.
const CLIENT_ID: &str = "banger";

impl Registry {
    /// Returns a header for what an answer asks for, or nothing when we have nothing to show.
    pub(crate) async fn authorize(
        &self,
        refusal: &Response,
        generation: u64,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut known = self.authorization().lock().await;
        if known.generation != generation {
            return Ok(known.header.clone());
        }
        let challenge = Challenge::of(refusal.headers())
            .ok_or_else(|| RegistryError::Challenge { registry: self.name().to_owned() })?;
        let header = match challenge {
            Challenge::Basic => basic_header(self.credentials()),
            Challenge::Bearer { realm, service } => {
                bearer_header(&self.fetch_token(&realm, service.as_deref()).await?)
            }
        };
        known.header.clone_from(&header);
        known.generation += 1;
        Ok(header)
    }

    pub(super) async fn fetch_token(
        &self,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Secret, RegistryError> {
        let registry = || self.name().to_owned();
        let mut url =
            Url::parse(realm).map_err(|_no_url| RegistryError::Challenge { registry: registry() })?;
        if url.scheme() == "http" && !self.endpoint().await?.is_plain {
            let realm = plain(url.host_str().unwrap_or_default(), REALM_CHARACTERS_MAX);
            return Err(RegistryError::OpenRealm { registry: registry(), realm });
        }
        let scope = format!("repository:{}:pull", self.repository());
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(service.map(|service| ("service", service)));
        let question = match self.credentials() {
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
                Question { authorization: basic_header(self.credentials()), ..Question::get(url) }
            }
        };
        let answer = self.ask(&question).await?;
        let response = self.accept("token", answer).await?;
        let answer = self.document(response, "token", TOKEN_BYTES_MAX).await?;
        token_of(&answer).ok_or_else(|| RegistryError::NoToken { registry: registry() })
    }
}
