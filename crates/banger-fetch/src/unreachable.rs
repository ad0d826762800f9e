//! The reasons why a server cannot be reached, each in one sentence. The libraries below report them as long chains of
//! errors, some of which have no public type.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// The reason why a server cannot be reached. The texts complete "cannot reach the server: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name server does not know the name, or there is no name server.
    #[error("its name cannot be resolved")]
    UnknownName,
    /// Nothing listens on the port.
    #[error("it refuses the connection")]
    Refused,
    /// The attempt to connect got no reply.
    #[error("it does not answer")]
    TimedOut,
    /// This host has no route to the server's network.
    #[error("there is no route to it")]
    NoRoute,
    /// The certificate was not signed by an authority that this host trusts.
    #[error("this host does not trust the authority that signed its certificate")]
    UnknownAuthority,
    /// The certificate belongs to an authority; clients accept only those of servers.
    #[error("its certificate is that of an authority, not of a server")]
    AuthorityItself,
    /// The certificate is no longer valid.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate is not valid yet.
    #[error("its certificate is not valid yet")]
    NotValidYet,
    /// The certificate is for another name.
    #[error("its certificate is for another name")]
    OtherName,
    /// The certificate has another fault.
    #[error("its certificate is not valid: {words}")]
    BadCertificate {
        /// The fault, in the words of the library.
        words: String,
    },
    /// The reply to the TLS greeting is not TLS.
    #[error("it does not speak TLS")]
    NoTls,
    /// The proxy cannot be reached, or does not connect to the server.
    #[error("the proxy does not connect to it")]
    Proxy,
    /// The proxy requires credentials.
    #[error("the proxy requires a login")]
    ProxyLogin,
    /// Any other reason.
    #[error("{words}")]
    Other {
        /// The innermost cause, in the words of the library.
        words: String,
    },
}

impl Unreachable {
    /// Finds the reason in an error and its causes.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let (mut cause, mut words) = (Some(error), String::new());
        while let Some(error) = cause {
            words = error.to_string();
            let of_type = match error.downcast_ref::<io::Error>() {
                Some(error) => Self::of_kind(error.kind()),
                None => error.downcast_ref::<rustls::Error>().and_then(Self::of_tls),
            };
            if let Some(reason) = of_type.or_else(|| Self::of_words(&words)) {
                return reason;
            }
            // The error inside an `io::Error` is not among its sources.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
        }
        Self::Other { words }
    }

    /// Tells whether the server may be reachable in a moment. A name that does not resolve or a closed port may be: the
    /// network or the server may be starting. What a certificate lacks, it lacks in a moment too.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::UnknownName
            | Self::Refused
            | Self::TimedOut
            | Self::NoRoute
            | Self::Proxy
            | Self::Other { .. } => true,
            Self::UnknownAuthority
            | Self::AuthorityItself
            | Self::Expired
            | Self::NotValidYet
            | Self::OtherName
            | Self::BadCertificate { .. }
            | Self::NoTls
            | Self::ProxyLogin => false,
        }
    }

    fn of_kind(kind: io::ErrorKind) -> Option<Self> {
        match kind {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::TimedOut => Some(Self::TimedOut),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some(Self::NoRoute),
            _ => None,
        }
    }

    fn of_tls(error: &rustls::Error) -> Option<Self> {
        let certificate = match error {
            rustls::Error::InvalidCertificate(certificate) => certificate,
            rustls::Error::InvalidMessage(_) => return Some(Self::NoTls),
            _ => return None,
        };
        Some(match certificate {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            // The type of this one is not public.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                Self::AuthorityItself
            }
            other => Self::BadCertificate { words: other.to_string() },
        })
    }

    /// Recognises errors whose types are not public.
    fn of_words(words: &str) -> Option<Self> {
        let says = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
        if says(&["dns error", "failed to lookup address"]) {
            Some(Self::UnknownName)
        } else if says(&["operation timed out"]) {
            Some(Self::TimedOut)
        } else if says(&["proxy authorization required"]) {
            Some(Self::ProxyLogin)
        } else if says(&["tunnel error"]) {
            Some(Self::Proxy)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;
    use std::time::Duration;

    use reqwest::header::HeaderMap;
    use rustls::{AlertDescription, InvalidMessage, OtherError};

    use super::*;
    use crate::error::FetchError;
    use crate::patience::Patience;
    use crate::source::{Source as _, UrlSource};
    use crate::test_server::{Reply, TestServer};

    const LONG: Duration = Duration::from_secs(30);

    #[derive(Debug, thiserror::Error)]
    #[error("error sending request")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("a private type")]
    struct CaUsedAsEndEntity;

    /// Asks a server and returns the reason why it cannot be reached.
    async fn reason_of(url: reqwest::Url, connect: Duration) -> Unreachable {
        let patience = Patience { connect, ..Patience::default() };
        let source = UrlSource::new(url, "the server".to_owned(), patience, Vec::new()).unwrap();
        match source.ask(HeaderMap::new()).await {
            Err(FetchError::Reach { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_errors_of_real_connections_are_recognised() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(reason_of(format!("http://{closed}/").parse().unwrap(), LONG).await, Unreachable::Refused);
        let tls = TestServer::tls(|_| Reply::of(200, b"")).await;
        assert_eq!(reason_of(tls.url, LONG).await, Unreachable::UnknownAuthority);
        let mut plain = TestServer::new(|_| Reply::of(200, b"")).await.url;
        plain.set_scheme("https").unwrap();
        assert_eq!(reason_of(plain, LONG).await, Unreachable::NoTls);
        // It accepts connections and never says anything.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", silent.local_addr().unwrap()).parse().unwrap();
        assert_eq!(reason_of(url, Duration::from_millis(50)).await, Unreachable::TimedOut);
    }

    #[test]
    fn each_reason_is_one_sentence() {
        let words = |text: &str| io::Error::other(text.to_owned());
        let tls = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        let authority = CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity)));
        let mut told = String::new();
        for inner in [
            io::ErrorKind::ConnectionRefused.into(),
            io::Error::other(io::Error::from(io::ErrorKind::TimedOut)),
            words("operation timed out"),
            io::ErrorKind::NetworkUnreachable.into(),
            words("failed to lookup address information: Name or service not known"),
            certificate(CertificateError::UnknownIssuer),
            certificate(authority),
            certificate(CertificateError::Expired),
            certificate(CertificateError::NotValidYet),
            certificate(CertificateError::NotValidForName),
            certificate(CertificateError::BadSignature),
            tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
            tls(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)),
            words("tunnel error: unsuccessful"),
            words("tunnel error: proxy authorization required"),
        ] {
            writeln!(told, "{}", Unreachable::of(&Outer(inner))).unwrap();
        }
        insta::assert_snapshot!(told, @r"
        it refuses the connection
        it does not answer
        it does not answer
        there is no route to it
        its name cannot be resolved
        this host does not trust the authority that signed its certificate
        its certificate is that of an authority, not of a server
        its certificate has expired
        its certificate is not valid yet
        its certificate is for another name
        its certificate is not valid: BadSignature
        it does not speak TLS
        received fatal alert: HandshakeFailure
        the proxy does not connect to it
        the proxy requires a login
        ");
    }
}
