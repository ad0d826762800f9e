//! How this crate speaks HTTP: with TLS, with a deadline for the connection, and never from TLS to none.

use std::sync::Once;
use std::time::Duration;

use reqwest::{ClientBuilder, redirect};

const REDIRECTS_MAX: usize = 10;

/// Returns the beginning of every client.
pub(crate) fn client_builder(connect_deadline: Duration) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that somebody else has chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_deadline)
        .redirect(redirect::Policy::custom(|attempt| {
            let was_safe = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("too many redirections")
            } else if was_safe && attempt.url().scheme() != "https" {
                attempt.error("a redirection from HTTPS to HTTP")
            } else {
                attempt.follow()
            }
        }))
}
