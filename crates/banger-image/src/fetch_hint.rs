//! What to do when a server does not give what it was asked for. Pure rules.

use banger_fetch::{FetchError, Unreachable};
use banger_model::Hint;

use crate::pull_rules::trust;

const PROXY: &str = "check the proxy (HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the daemon's environment)";

/// Returns what to do against a failed download. `is_proxied` tells whether requests go through a proxy.
pub(crate) fn hint_of(error: &FetchError, is_proxied: bool) -> Option<Hint> {
    match error {
        FetchError::Client(_) => Some(Hint::install("ca-certificates")),
        FetchError::Reach { source, .. } => advice(source, is_proxied).map(Hint::advice),
        FetchError::Led { source, .. } => source.place_to_trust().map(trust),
        FetchError::Silent { .. }
        | FetchError::Slow { .. }
        | FetchError::Late { .. }
        | FetchError::Broken { .. }
        | FetchError::Truncated { .. } => {
            Some(Hint::advice("check this host's network, then run the command again"))
        }
        FetchError::Status { status, .. } => of_status(status.as_u16()).map(Hint::advice),
        FetchError::Changed { .. } => Some(Hint::advice("run the command again")),
        FetchError::Address { .. }
        | FetchError::TooLarge { .. }
        | FetchError::WrongDigest { .. }
        | FetchError::Write { .. } => None,
    }
}

fn advice(reason: &Unreachable, is_proxied: bool) -> Option<&'static str> {
    Some(match reason {
        Unreachable::UnknownName if is_proxied => {
            "check the spelling and the proxy (HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the daemon's environment)"
        }
        Unreachable::Refused | Unreachable::TimedOut | Unreachable::NoRoute | Unreachable::Proxy
            if is_proxied =>
        {
            PROXY
        }
        Unreachable::UnknownName => "check the spelling, this host's network and /etc/resolv.conf",
        Unreachable::Refused => "check host and port, and whether the server is running",
        Unreachable::TimedOut | Unreachable::NoRoute => {
            "check this host's network and firewall; if it needs a proxy, set HTTPS_PROXY in the daemon's environment"
        }
        Unreachable::UnknownAuthority => {
            "add the authority to this host's certificates: copy it to /usr/local/share/ca-certificates, then \
             sudo update-ca-certificates"
        }
        Unreachable::AuthorityItself => {
            "give the server a certificate with basicConstraints=CA:FALSE that this host trusts"
        }
        Unreachable::Expired | Unreachable::NotValidYet => {
            "check this host's clock; renew the server's certificate"
        }
        Unreachable::OtherName => "check the server's name; the certificate must list it as subjectAltName",
        Unreachable::BadCertificate { .. } => {
            "look at the certificate: openssl s_client -connect <host>:<port>"
        }
        Unreachable::NoTls => "check the port, and whether the server speaks HTTPS",
        Unreachable::Proxy => PROXY,
        Unreachable::ProxyLogin => {
            "put the login into HTTPS_PROXY in the daemon's environment: http://<user>:<password>@<host>:<port>"
        }
        Unreachable::Other { .. } => return None,
    })
}

fn of_status(status: u16) -> Option<&'static str> {
    match status {
        401 | 403 => Some("the server requires a login; download the file yourself and use its path"),
        404 | 410 => Some("check the spelling of the URL"),
        429 => Some("the server limits requests; try again later"),
        500..=599 => Some("the server has a fault; try again later"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reason: Unreachable, is_proxied: bool) -> String {
        let error = FetchError::Reach { server: "`x`".to_owned(), source: reason };
        match hint_of(&error, is_proxied) {
            Some(Hint::Advice { text }) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn behind_a_proxy_the_proxy_is_what_to_check() {
        for reason in [Unreachable::Refused, Unreachable::TimedOut, Unreachable::NoRoute, Unreachable::Proxy]
        {
            assert_eq!(told(reason, true), PROXY);
        }
        assert!(told(Unreachable::UnknownName, true).contains("NO_PROXY"));
        for reason in [Unreachable::UnknownName, Unreachable::Refused] {
            assert!(!told(reason.clone(), false).contains("PROXY"), "{reason:?}");
        }
    }

    #[test]
    fn a_fault_of_a_certificate_is_not_one_of_the_network() {
        for reason in [
            Unreachable::UnknownAuthority,
            Unreachable::AuthorityItself,
            Unreachable::Expired,
            Unreachable::NotValidYet,
            Unreachable::OtherName,
        ] {
            let told = told(reason.clone(), true);
            assert!(told.contains("certificate") && !told.contains("PROXY"), "{reason:?}: {told}");
        }
    }

    #[test]
    fn nothing_is_advised_against_an_unknown_reason() {
        let other = Unreachable::Other { words: "received fatal alert: HandshakeFailure".to_owned() };
        let error = FetchError::Reach { server: "`x`".to_owned(), source: other };
        assert_eq!(hint_of(&error, true), None);
    }

    #[test]
    fn a_status_says_whether_to_spell_to_log_in_or_to_wait() {
        for (status, told) in [(403, "login"), (404, "spelling"), (429, "later"), (503, "later")] {
            assert!(of_status(status).is_some_and(|advice| advice.contains(told)), "{status}");
        }
        assert_eq!(of_status(418), None);
    }
}
