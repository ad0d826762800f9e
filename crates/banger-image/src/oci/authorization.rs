//! How a registry lets us in: the challenge of its first answer, and the token of its token server.
//! Source: RFC 9110 (section 11), distribution spec "Token Authentication" and its `OAuth2` form.

use base64::Engine as _;
use http_auth::parse_challenges;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::credentials::Credentials;
use super::secret::Secret;

/// How a registry wants to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    /// With a token of the server at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// What the last challenge led to.
#[derive(Debug, Default)]
pub(crate) struct Authorization {
    pub(crate) header: Option<HeaderValue>,
    /// Grows with each new header, so that a refused one is replaced once.
    pub(crate) generation: u64,
}

impl Challenge {
    /// Reads the challenge of an answer with status 401. A token is better than a password in every request.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut basic = None;
        for text in texts {
            for challenge in parse_challenges(text).unwrap_or_default() {
                let parameter = |wanted: &str| {
                    let mut named = challenge.params.iter();
                    let (_, value) = named.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
                    Some(value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = parameter("realm")
                {
                    return Some(Self::Bearer { realm, service: parameter("service") });
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

/// Returns the header for a user name and a password.
pub(crate) fn basic_header(credentials: &Credentials) -> Option<HeaderValue> {
    match credentials {
        Credentials::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose());
            hidden(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
        Credentials::Anonymous | Credentials::Identity(_) => None,
    }
}

/// Returns the header for a token.
pub(crate) fn bearer_header(token: &Secret) -> Option<HeaderValue> {
    hidden(&format!("Bearer {}", token.expose()))
}

fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    // So that nobody prints it.
    value.set_sensitive(true);
    Some(value)
}

/// The answer of a token server; old ones and those of `OAuth2` name the token differently.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
}

/// Reads the answer of a token server.
pub(crate) fn token_of(answer: &[u8]) -> Option<Secret> {
    let answer: TokenAnswer = serde_json::from_slice(answer).ok()?;
    // An empty one is none, whatever the other name says.
    [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(texts: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn the_challenges_of_registries_in_use_are_read() {
        let docker = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
            scope=\"repository:library/x:pull\"";
        let expected = bearer("https://auth.docker.io/token", Some("registry.docker.io"));
        assert_eq!(challenge(&[docker]), Some(expected));
        assert_eq!(challenge(&["Basic realm=\"x, y\""]), Some(Challenge::Basic));
        assert_eq!(
            challenge(&["basic realm=x", "BEARER Realm=\"https://t\""]),
            Some(bearer("https://t", None))
        );
        assert_eq!(challenge(&["Bearer service=x", "Negotiate"]), None);
        assert_eq!(challenge(&["\"\""]), None);
        assert_eq!(challenge(&[]), None);
    }

    #[test]
    fn both_names_of_a_token_are_known() {
        assert_eq!(token_of(br#"{"access_token":"a","expires_in":300}"#), Some(Secret::new("a")));
        assert_eq!(token_of(br#"{"token":"t","access_token":"a"}"#), Some(Secret::new("t")));
        assert_eq!(token_of(br#"{"token":"","access_token":"a"}"#), Some(Secret::new("a")));
        for none in [&b"{}"[..], br#"{"token":""}"#, b"<html>", br#"{"token":null}"#] {
            assert_eq!(token_of(none), None);
        }
    }

    #[test]
    fn headers_with_secrets_do_not_print() {
        let credentials = Credentials::Basic { username: "ada".to_owned(), password: Secret::new("hunter2") };
        let header = basic_header(&credentials).unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic YWRhOmh1bnRlcjI=");
        assert_eq!(format!("{header:?}"), "Sensitive");
        assert_eq!(bearer_header(&Secret::new("a\nb")), None, "a header is one line");
    }
}
