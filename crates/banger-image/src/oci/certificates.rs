//! Certificates that a user trusts for one registry: `<directory>/<host[:port]>/*.crt`, where docker and podman look for
//! them. The host's own certificates count for all registries.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Certificate;

use super::registry_error::RegistryError;

/// Directories that programs of the same kind read.
pub(crate) fn directories() -> Vec<PathBuf> {
    let system = ["/etc/docker/certs.d", "/etc/containers/certs.d"].map(PathBuf::from);
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let of_user =
        home.map(|home| [home.join(".config/docker/certs.d"), home.join(".config/containers/certs.d")]);
    system.into_iter().chain(of_user.into_iter().flatten()).collect()
}

/// Reads the certificates for a registry.
pub(crate) fn read(directories: &[PathBuf], registry: &str) -> Result<Vec<Certificate>, RegistryError> {
    let mut found = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(directory.join(registry)).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                found.extend(read_file(&path)?);
            }
        }
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let failed = |source| RegistryError::Certificate { path: path.display().to_string(), source };
    let text = fs::read(path).map_err(|error| failed(error.into()))?;
    Certificate::from_pem_bundle(&text).map_err(|error| failed(error.into()))
}
