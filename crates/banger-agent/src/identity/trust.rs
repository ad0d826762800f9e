//! Certificate authorities of the host in the guest's own store: in its bundle, and as anchors from which the guest's tools
//! rebuild the bundle. All of them are marked as ours, so that a second call changes nothing, and a call without authorities
//! removes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, WriteFileError};

/// Bundles of distributions: Debian, Alpine and Arch, then Fedora, then SUSE, then OpenSSL's own.
const BUNDLES: [&str; 4] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];
/// The directory of anchors that `update-ca-certificates` reads: one per file.
const ANCHORS_ONE_EACH: &str = "usr/local/share/ca-certificates";
/// The tools that read them.
const UPDATERS: [&str; 2] = ["usr/sbin/update-ca-certificates", "sbin/update-ca-certificates"];
/// The directories of anchors on Fedora, Arch and SUSE.
const ANCHORS: [&str; 3] =
    ["etc/pki/ca-trust/source/anchors", "etc/ca-certificates/trust-source/anchors", "etc/pki/trust/anchors"];
/// Only the host's authorities, for programs that accept additional ones.
const OURS: &str = "etc/ssl/banger-host.pem";
const BEGIN: &str = "# banger: authorities of the host\n";
const END: &str = "# banger: end of authorities of the host\n";
/// Size of the largest bundle that is changed.
const BUNDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error(transparent)]
    Write(#[from] WriteFileError),
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot remove `{}`", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// How programs find the authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Variables for sessions, for programs that do not read the guest's bundle by default.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// Makes the guest trust these authorities (PEM, one each) in addition to its own, and no others of a host.
pub(super) fn apply(root: &Path, authorities: &[String]) -> Result<Trust, TrustError> {
    let ours = root.join(OURS);
    if authorities.is_empty() && !ours.exists() {
        return Ok(Trust::default());
    }
    anchors(root, authorities)?;
    let mut bundles = bundles(root);
    let has_own = bundles.iter().any(|(_, path)| {
        fs::read_to_string(path).is_ok_and(|text| without_ours(&text).contains("-----BEGIN"))
    });
    if bundles.is_empty() && !authorities.is_empty() {
        let [first, ..] = BUNDLES;
        bundles.push((first, root.join(first)));
    }
    for (_, path) in &bundles {
        put_into(path, authorities)?;
    }
    if authorities.is_empty() {
        remove(&ours)?;
        return Ok(Trust::default());
    }
    files::ensure(&ours, authorities.concat().as_bytes(), 0o644)?;
    let mut variables = vec![("NODE_EXTRA_CA_CERTS", format!("/{OURS}"))];
    if let Some((bundle, _)) = bundles.first() {
        // OpenSSL of some distributions reads only a directory of hashed names.
        variables.push(("SSL_CERT_FILE", format!("/{bundle}")));
        if has_own {
            // Python packages bring a bundle of their own; this one is just as complete.
            variables.push(("REQUESTS_CA_BUNDLE", format!("/{bundle}")));
        }
    }
    Ok(Trust { variables })
}

/// Returns the existing bundles, each file once, however many names it has.
fn bundles(root: &Path) -> Vec<(&'static str, PathBuf)> {
    let Ok(inside) = root.canonicalize() else { return Vec::new() };
    let mut found: Vec<(&'static str, PathBuf)> = Vec::new();
    for name in BUNDLES {
        let Ok(path) = root.join(name).canonicalize() else { continue };
        let is_file = fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= BUNDLE_BYTES_MAX);
        if is_file && path.starts_with(&inside) && !found.iter().any(|(_, other)| *other == path) {
            found.push((name, path));
        }
    }
    found
}

fn put_into(bundle: &Path, authorities: &[String]) -> Result<(), TrustError> {
    let present = match fs::read(bundle) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(TrustError::Read { path: bundle.to_owned(), source }),
    };
    // A bundle that is not text is in no format that we know.
    let Ok(present) = String::from_utf8(present) else { return Ok(()) };
    let wanted = with_ours(&present, authorities);
    if wanted.is_empty() {
        return remove(bundle);
    }
    if wanted != present {
        files::ensure(bundle, wanted.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Returns the bundle with these authorities in our section of it; those that it contains anyway are not repeated.
fn with_ours(present: &str, authorities: &[String]) -> String {
    let mut text = without_ours(present);
    let new: Vec<&str> =
        authorities.iter().map(String::as_str).filter(|pem| !text.contains(pem.trim_end())).collect();
    if new.is_empty() {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(BEGIN);
    for pem in new {
        text.push_str(pem.trim_end());
        text.push('\n');
    }
    text.push_str(END);
    text
}

fn without_ours(present: &str) -> String {
    let mut text = String::with_capacity(present.len());
    let mut rest = present;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((_, behind)) = after.split_once(END) else { break };
        text.push_str(before);
        rest = behind;
    }
    text.push_str(rest);
    text
}

fn anchors(root: &Path, authorities: &[String]) -> Result<(), TrustError> {
    let one_each = root.join(ANCHORS_ONE_EACH);
    let has_updater = UPDATERS.iter().any(|path| root.join(path).exists());
    let wanted: Vec<_> =
        (0..authorities.len()).map(|number| one_each.join(format!("banger-host-{number}.crt"))).collect();
    if has_updater {
        for (path, pem) in wanted.iter().zip(authorities) {
            files::ensure(path, pem.as_bytes(), 0o644)?;
        }
    }
    for entry in fs::read_dir(&one_each).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with("banger-host-");
        if is_ours && !(has_updater && wanted.contains(&path)) {
            remove(&path)?;
        }
    }
    for directory in ANCHORS.iter().map(|path| root.join(path)).filter(|path| path.is_dir()) {
        let path = directory.join("banger-host.pem");
        if authorities.is_empty() {
            remove(&path)?;
        } else {
            files::ensure(&path, authorities.concat().as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), TrustError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(TrustError::Remove { path: path.to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "-----BEGIN CERTIFICATE-----\nb3du\n-----END CERTIFICATE-----\n";
    const DEBIAN: &str = "etc/ssl/certs/ca-certificates.crt";
    const FEDORA: &str = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";

    fn pem(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    fn guest(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn everything(root: &Path) -> Vec<(PathBuf, String)> {
        let mut all = Vec::new();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    all.push((path.strip_prefix(root).unwrap().to_owned(), text));
                }
            }
        }
        all.sort();
        all
    }

    fn names(trust: &Trust) -> Vec<&str> {
        trust.variables.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn a_debian_trusts_them_in_bundle_and_anchors_once_and_no_longer_when_they_are_gone() {
        let root = guest(&[(DEBIAN, OWN), ("usr/sbin/update-ca-certificates", "")]);
        let before = everything(root.path());
        let trust = apply(root.path(), &[pem("YQ=="), pem("Yg==")]).unwrap();
        assert_eq!(names(&trust), ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]);
        let bundle = fs::read_to_string(root.path().join(DEBIAN)).unwrap();
        assert_eq!(bundle, format!("{OWN}{BEGIN}{}{}{END}", pem("YQ=="), pem("Yg==")));
        let anchor = root.path().join("usr/local/share/ca-certificates/banger-host-1.crt");
        assert_eq!(fs::read_to_string(anchor).unwrap(), pem("Yg=="));
        let after = everything(root.path());
        apply(root.path(), &[pem("YQ=="), pem("Yg==")]).unwrap();
        assert_eq!(everything(root.path()), after);
        assert_eq!(apply(root.path(), &[]).unwrap(), Trust::default());
        assert_eq!(everything(root.path()), before);
    }

    #[test]
    fn a_bundle_that_the_guests_tool_made_anew_does_not_have_them_twice() {
        let made = format!("{}{OWN}", pem("YQ=="));
        let root = guest(&[(DEBIAN, &made), ("usr/sbin/update-ca-certificates", "")]);
        apply(root.path(), &[pem("YQ==")]).unwrap();
        assert_eq!(fs::read_to_string(root.path().join(DEBIAN)).unwrap(), made);
    }

    #[test]
    fn a_fedora_has_them_where_its_links_lead() {
        let root = guest(&[(FEDORA, OWN), ("etc/pki/ca-trust/source/anchors/own.pem", OWN)]);
        fs::create_dir_all(root.path().join("etc/pki/tls/certs")).unwrap();
        let link = root.path().join("etc/pki/tls/certs/ca-bundle.crt");
        std::os::unix::fs::symlink("../../ca-trust/extracted/pem/tls-ca-bundle.pem", &link).unwrap();
        let trust = apply(root.path(), &[pem("YQ==")]).unwrap();
        assert!(link.is_symlink());
        assert!(fs::read_to_string(root.path().join(FEDORA)).unwrap().contains("YQ=="));
        assert!(root.path().join("etc/pki/ca-trust/source/anchors/banger-host.pem").exists());
        assert!(trust.variables.contains(&("SSL_CERT_FILE", "/etc/pki/tls/certs/ca-bundle.crt".to_owned())));
    }

    #[test]
    fn an_image_without_any_store_gets_one_that_programs_find() {
        let root = guest(&[]);
        let trust = apply(root.path(), &[pem("YQ==")]).unwrap();
        assert!(fs::read_to_string(root.path().join(DEBIAN)).unwrap().contains("YQ=="));
        assert_eq!(names(&trust), ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]);
        apply(root.path(), &[]).unwrap();
        assert_eq!(everything(root.path()), []);
    }

    #[test]
    fn a_guest_whose_host_has_none_is_not_touched_and_no_link_leads_out() {
        let root = guest(&[(DEBIAN, "no newline at its end")]);
        let before = everything(root.path());
        assert_eq!(apply(root.path(), &[]).unwrap(), Trust::default());
        assert_eq!(everything(root.path()), before);
        let outside = guest(&[("bundle", OWN)]);
        let root = guest(&[]);
        fs::create_dir_all(root.path().join("etc/ssl")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("bundle"), root.path().join("etc/ssl/cert.pem"))
            .unwrap();
        apply(root.path(), &[pem("YQ==")]).unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("bundle")).unwrap(), OWN);
    }

    proptest! {
        #[test]
        fn a_second_pass_changes_nothing_and_nothing_of_the_guest_is_lost(
            present in "([a-zA-Z=#-]{0,20}\n){0,6}[a-z]{0,5}", bodies in prop::collection::vec("[A-Z]{8}", 1..4)
        ) {
            let authorities: Vec<_> = bodies.iter().map(|body| pem(body)).collect();
            let first = with_ours(&present, &authorities);
            prop_assert_eq!(with_ours(&first, &authorities), first.clone());
            prop_assert!(first.starts_with(&present));
            let without = with_ours(&first, &[]);
            prop_assert_eq!(without.trim_end(), present.trim_end());
        }
    }
}
