//! Name resolution for redirections. The addresses that are checked are those that are connected to, so a name that had a
//! harmless address a moment ago gains nothing.

use std::net::SocketAddr;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::detour::Detour;
use crate::reach::Reach;

/// Resolves names for connections to redirection targets of a server with this reach.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) origin: Reach,
    /// Names that may resolve to any address: those of proxies, and those that the user trusts.
    pub(crate) exempt: Vec<String>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let origin = if self.exempt.contains(&name) { None } else { Some(self.origin) };
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(origin) = origin {
                judge(origin, &name, &found)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Refuses a place if any of its addresses is closer than the origin allows.
pub(crate) fn judge(origin: Reach, place: &str, addresses: &[SocketAddr]) -> Result<(), Detour> {
    match addresses.iter().map(|address| Reach::of(address.ip())).find(|reach| !origin.may_lead_to(*reach)) {
        Some(reach) => Err(Detour::Close { place: place.to_owned(), reach }),
        None => Ok(()),
    }
}

/// Returns the names of the proxies of this process.
pub(crate) fn proxies() -> Vec<String> {
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
        .iter()
        .filter_map(|key| std::env::var(key).ok())
        .filter_map(|text| host_of_proxy(&text))
        .collect()
}

/// Tells whether this process sends requests through a proxy. Those that `NO_PROXY` names are exceptions.
#[must_use]
pub fn has_proxy() -> bool {
    !proxies().is_empty()
}

fn host_of_proxy(text: &str) -> Option<String> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    Some(url.ok()?.host_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 80)).collect()
    }

    #[test]
    fn one_close_address_among_others_is_enough() {
        let mixed = addresses(&["1.1.1.1", "169.254.169.254"]);
        let refused = Detour::Close { place: "x".to_owned(), reach: Reach::Reserved };
        assert_eq!(judge(Reach::World, "x", &mixed), Err(refused));
        assert_eq!(judge(Reach::World, "x", &addresses(&["1.1.1.1", "2606:4700::1"])), Ok(()));
        assert_eq!(judge(Reach::Network, "x", &addresses(&["10.0.0.7"])), Ok(()));
    }

    #[tokio::test]
    async fn a_name_is_judged_when_it_is_connected_to_unless_it_is_exempt() {
        let resolve = |exempt: Vec<String>| async move {
            let guard = Guard { origin: Reach::World, exempt };
            guard.resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };
        let refused = resolve(Vec::new()).await.unwrap_err();
        assert!(
            matches!(refused.downcast_ref(), Some(Detour::Close { reach: Reach::Host, .. })),
            "{refused}"
        );
        assert!(resolve(vec!["localhost".to_owned()]).await.unwrap() > 0);
    }

    #[test]
    fn the_host_of_a_proxy_is_found_in_every_form() {
        for text in ["http://proxy:3128", "proxy:3128", "http://user:secret@proxy", "socks5h://proxy:1080/"] {
            assert_eq!(host_of_proxy(text).as_deref(), Some("proxy"), "{text}");
        }
    }
}
