//! What guests get of how the host reaches the world: certificate authorities that the user added to the host's
//! store, and proxies where the configuration asks for them. Only certificates are taken out of a file, so that a
//! private key beside one never travels.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::GuestSection;

/// Where distributions keep what a user added: Debian and Alpine, Fedora, Arch, SUSE.
const ANCHORS: [&str; 4] = [
    "usr/local/share/ca-certificates",
    "etc/pki/ca-trust/source/anchors",
    "etc/ca-certificates/trust-source/anchors",
    "etc/pki/trust/anchors",
];
/// Most authorities, and most bytes of them: a store of a user's own has a few.
const AUTHORITIES_MAX: usize = 64;
const BYTES_MAX: usize = 256 * 1024;
const FILE_BYTES_MAX: u64 = 256 * 1024;
const FILES_MAX: usize = 256;
const DEPTH_MAX: usize = 4;
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What a guest gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostTrust {
    /// Certificates as PEM, one each.
    pub(crate) authorities: Vec<String>,
    /// Variables for sessions.
    pub(crate) proxies: Vec<(String, String)>,
    /// What does not come along, one sentence each.
    pub(crate) left_out: Vec<String>,
}

impl HostTrust {
    /// Reads this host, and the environment that the daemon was started in.
    pub(crate) fn of_this_host(wish: GuestSection) -> Self {
        Self::of_host(wish, Path::new("/"), |name| std::env::var(name).ok())
    }

    /// Reads the host whose root is here, and variables of its environment.
    pub(crate) fn of_host(wish: GuestSection, root: &Path, ours: impl Fn(&str) -> Option<String>) -> Self {
        let mut trust = Self::default();
        if wish.host_certificates {
            trust.add_authorities(root);
        }
        if wish.host_proxies {
            for name in PROXIES {
                trust.add_proxy(name, &ours);
            }
        }
        trust
    }

    fn add_authorities(&mut self, root: &Path) {
        let mut files = Vec::new();
        for directory in ANCHORS {
            list(&root.join(directory), 0, &mut files);
        }
        files.sort();
        let mut bytes = 0;
        for path in files {
            let is_small = fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= FILE_BYTES_MAX);
            let content = if is_small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
            let certificates = certificates(&content);
            if certificates.is_empty() {
                self.left_out.push(format!("`{}` holds no certificate", path.display()));
            }
            for pem in certificates {
                if self.authorities.contains(&pem) {
                    continue;
                }
                if self.authorities.len() >= AUTHORITIES_MAX || bytes + pem.len() > BYTES_MAX {
                    self.left_out.push(format!(
                        "`{}`: more than {AUTHORITIES_MAX} authorities or {} KiB of them",
                        path.display(),
                        BYTES_MAX / 1024
                    ));
                    return;
                }
                bytes += pem.len();
                self.authorities.push(pem);
            }
        }
    }

    /// Takes a variable in either case and gives it in both: programs differ in which they read.
    fn add_proxy(&mut self, name: &str, ours: &impl Fn(&str) -> Option<String>) {
        let upper = name.to_ascii_uppercase();
        let Some(value) = ours(name).or_else(|| ours(&upper)).filter(|value| !value.is_empty()) else {
            return;
        };
        if name != "no_proxy" && is_on_loopback(&value) {
            self.left_out.push(format!(
                "{upper} leads to the host's loopback, which a guest cannot reach; let the proxy listen on another address"
            ));
            return;
        }
        self.proxies.push((name.to_owned(), value.clone()));
        self.proxies.push((upper, value));
    }
}

fn list(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if files.len() >= FILES_MAX {
            return;
        }
        if path.is_dir() && depth < DEPTH_MAX {
            list(&path, depth + 1, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}

/// The certificates in a file of text, or the one that a binary file is; each as text of one form.
fn certificates(content: &[u8]) -> Vec<String> {
    if is_certificate(content) {
        return vec![pem(content)];
    }
    let text = String::from_utf8_lossy(content);
    let parts = text.split(BEGIN).skip(1).filter_map(|part| part.split_once(END));
    let bodies = parts.map(|(body, _)| body.split_ascii_whitespace().collect::<String>());
    let binary = bodies.filter_map(|body| STANDARD.decode(body).ok());
    binary.filter(|bytes| is_certificate(bytes)).map(|bytes| pem(&bytes)).collect()
}

/// A sequence that begins with a sequence and fills the bytes (X.509). A private key is one that begins with a number.
fn is_certificate(bytes: &[u8]) -> bool {
    let whole = match bytes {
        [0x30, 0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [0x30, 0x81, length, rest @ ..] => (usize::from(*length), rest),
        _ => return false,
    };
    whole.0 == whole.1.len() && whole.1.first() == Some(&0x30)
}

fn pem(bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("{BEGIN}\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + END + "\n"
}

/// Tells whether a proxy is one that only the host itself reaches.
fn is_on_loopback(address: &str) -> bool {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.split('/').next().unwrap_or_default();
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => address.split(':').next().unwrap_or_default(),
    };
    let is_ours = |ip: std::net::IpAddr| ip.is_loopback() || ip.is_unspecified();
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || host.parse().is_ok_and(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: GuestSection = GuestSection { host_certificates: true, host_proxies: true };

    /// Bytes with the form of a certificate, or of a private key.
    fn binary(second: u8, fill: u8) -> Vec<u8> {
        let mut content = vec![second, 0x03, fill, fill, fill];
        content.resize(200, fill);
        [vec![0x30, 0x81, 200], content].concat()
    }

    fn host(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn of(root: &Path) -> HostTrust {
        HostTrust::of_host(BOTH, root, |_| None)
    }

    #[test]
    fn authorities_of_each_distribution_come_once_as_text() {
        let (first, second) = (binary(0x30, 1), binary(0x30, 2));
        let bundle = format!("# two\n{}{}", pem(&first), pem(&second)).replace('\n', "\r\n");
        let host = host(&[
            ("usr/local/share/ca-certificates/corp/a.crt", pem(&first).into_bytes()),
            ("etc/pki/ca-trust/source/anchors/b.cer", second.clone()),
            ("etc/pki/trust/anchors/c.pem", bundle.into_bytes()),
        ]);
        let trust = of(host.path());
        assert_eq!(trust.left_out, [""; 0]);
        assert_eq!(trust.authorities.len(), 2);
        for certificate in [&first, &second] {
            assert!(trust.authorities.contains(&pem(certificate)));
        }
        let off = GuestSection { host_certificates: false, host_proxies: true };
        assert_eq!(HostTrust::of_host(off, host.path(), |_| None), HostTrust::default());
    }

    #[test]
    fn a_private_key_never_travels() {
        let key = STANDARD.encode(binary(0x02, 3));
        let beside = format!(
            "-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n{}",
            pem(&binary(0x30, 4))
        );
        let disguised = format!("{BEGIN}\n{key}\n{END}\n");
        let host = host(&[
            ("usr/local/share/ca-certificates/a.pem", beside.into_bytes()),
            ("usr/local/share/ca-certificates/b.key", binary(0x02, 3)),
            ("usr/local/share/ca-certificates/c.crt", disguised.into_bytes()),
            ("usr/local/share/ca-certificates/d.crt", b"\xff\xfe".to_vec()),
        ]);
        let trust = of(host.path());
        assert_eq!(trust.authorities, [pem(&binary(0x30, 4))]);
        assert_eq!(trust.left_out.len(), 3);
    }

    #[test]
    fn there_is_an_end_to_how_many_come() {
        let many: String = (0..=u8::MAX).map(|fill| pem(&binary(0x30, fill))).collect();
        let host = host(&[("usr/local/share/ca-certificates/many.crt", many.into_bytes())]);
        let trust = of(host.path());
        assert_eq!((trust.authorities.len(), trust.left_out.len()), (AUTHORITIES_MAX, 1));
    }

    #[test]
    fn proxies_come_in_both_cases_and_one_on_the_loopback_is_told() {
        let ours = |name: &str| match name {
            "http_proxy" => Some("http://user:word@proxy.corp:3128/".to_owned()),
            "HTTPS_PROXY" => Some("http://localhost:3128".to_owned()),
            "all_proxy" => Some("socks5://[::1]:1080".to_owned()),
            "NO_PROXY" => Some("localhost,127.0.0.1".to_owned()),
            _ => None,
        };
        let trust = HostTrust::of_host(BOTH, Path::new("/nonexistent"), ours);
        let names: Vec<_> = trust.proxies.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"]);
        assert!(trust.left_out.iter().all(|told| told.contains("loopback")), "{:?}", trust.left_out);
        assert_eq!(trust.left_out.len(), 2);
        let none = HostTrust::of_host(GuestSection::default(), Path::new("/nonexistent"), ours);
        assert_eq!(none, HostTrust::default());
    }

    #[test]
    fn a_loopback_is_known_in_all_its_spellings() {
        for address in [
            "localhost",
            "http://LOCALHOST.:1",
            "127.0.0.9:3128",
            "http://a:b@127.1.2.3/",
            "[::1]:1",
            "0.0.0.0:80",
        ] {
            assert!(is_on_loopback(address), "{address}");
        }
        for address in
            ["proxy:3128", "http://10.0.0.1:3128", "http://localhost@proxy:1", "[fd00::1]:3128", ""]
        {
            assert!(!is_on_loopback(address), "{address}");
        }
    }
}
