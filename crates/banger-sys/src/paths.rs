//! Where things live. `BANGER_HOME` moves all of it; otherwise the XDG base directories hold.
//! Source of the defaults: XDG Base Directory Specification 0.8.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

/// The product's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Configuration: `config.toml`.
    pub config: PathBuf,
    /// What must not be lost: database, kernels, images, disks of VMs.
    pub state: PathBuf,
    /// What can be fetched again.
    pub cache: PathBuf,
    /// Sockets: gone after a restart of the host.
    pub runtime: PathBuf,
}

/// Why there are no directories.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// Neither `BANGER_HOME` nor a home directory.
    #[error("this user has no home directory")]
    NoHome(#[source] etcetera::HomeDirError),
    /// A relative `BANGER_HOME` would mean another place for each working directory.
    #[error("`BANGER_HOME` is `{}`, which is not an absolute path", .0.display())]
    RelativeHome(PathBuf),
    /// A Unix socket's path has at most 107 bytes (`unix(7)`, `sun_path`).
    #[error("`{}` is too long for sockets: at most {RUNTIME_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
}

/// Longest path of the runtime directory, so that `<runtime>/vms/<16 digits>/channel.sock` fits `sun_path`.
const RUNTIME_BYTES_MAX: usize = 107 - "/vms/0123456789abcdef/channel.sock".len();

impl Paths {
    /// Finds the directories from the environment; makes none.
    ///
    /// # Errors
    /// [`PathsError`].
    pub fn from_environment() -> Result<Self, PathsError> {
        let paths = match std::env::var_os("BANGER_HOME").filter(|home| !home.is_empty()) {
            Some(home) => Self::under(Path::new(&home))?,
            None => Self::from_xdg(std::env::var_os("XDG_RUNTIME_DIR"))?,
        };
        if paths.runtime.as_os_str().len() > RUNTIME_BYTES_MAX {
            return Err(PathsError::TooLong(paths.runtime));
        }
        Ok(paths)
    }

    /// All directories under one home.
    ///
    /// # Errors
    /// [`PathsError::RelativeHome`].
    pub fn under(home: &Path) -> Result<Self, PathsError> {
        if !home.is_absolute() {
            return Err(PathsError::RelativeHome(home.to_owned()));
        }
        Ok(Self {
            config: home.join("config"),
            state: home.join("state"),
            cache: home.join("cache"),
            runtime: home.join("run"),
        })
    }

    fn from_xdg(runtime: Option<OsString>) -> Result<Self, PathsError> {
        let base = etcetera::base_strategy::Xdg::new().map_err(PathsError::NoHome)?;
        let state = base.state_dir().unwrap_or_else(|| base.home_dir().join(".local/state")).join("banger");
        let runtime = match runtime.map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(directory) => directory.join("banger"),
            None => state.join("run"),
        };
        Ok(Self {
            config: base.config_dir().join("banger"),
            cache: base.cache_dir().join("banger"),
            state,
            runtime,
        })
    }

    /// The daemon's socket.
    #[must_use]
    pub fn daemon_socket(&self) -> PathBuf {
        self.runtime.join("bangerd.sock")
    }

    /// Held by the daemon for its whole life: one daemon per state directory.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.state.join("bangerd.lock")
    }

    /// The daemon's log.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("bangerd.log")
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state.join("banger.db")
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Kernels, one directory each.
    #[must_use]
    pub fn kernels(&self) -> PathBuf {
        self.state.join("kernels")
    }

    /// Images, one directory each.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Blobs of images that registries gave, to be used again.
    #[must_use]
    pub fn blob_cache(&self) -> PathBuf {
        self.cache.join("oci")
    }

    /// Releases of Firecracker of this user's own, one directory each.
    #[must_use]
    pub fn firecracker(&self) -> PathBuf {
        self.state.join("firecracker")
    }

    /// Leads to the release that is used.
    #[must_use]
    pub fn firecracker_current(&self) -> PathBuf {
        self.firecracker().join("current")
    }

    /// VMs, one directory each.
    #[must_use]
    pub fn vms(&self) -> PathBuf {
        self.state.join("vms")
    }

    /// The disks, console log and handle file of one VM.
    #[must_use]
    pub fn vm(&self, id: &str) -> PathBuf {
        self.vms().join(id)
    }

    /// The sockets of one VM.
    #[must_use]
    pub fn vm_runtime(&self, id: &str) -> PathBuf {
        self.runtime.join("vms").join(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_home_holds_everything() {
        let paths = Paths::under(Path::new("/b")).unwrap();
        assert_eq!(paths.daemon_socket(), Path::new("/b/run/bangerd.sock"));
        assert_eq!(paths.database(), Path::new("/b/state/banger.db"));
        assert_eq!(paths.vm("12"), Path::new("/b/state/vms/12"));
    }

    #[test]
    fn a_relative_home_is_refused() {
        assert!(matches!(Paths::under(Path::new("b")), Err(PathsError::RelativeHome(_))));
    }

    #[test]
    fn without_a_runtime_directory_the_sockets_are_in_the_state() {
        let paths = Paths::from_xdg(None).unwrap();
        assert_eq!(paths.runtime, paths.state.join("run"));
        let relative = Paths::from_xdg(Some("run".into())).unwrap();
        assert_eq!(relative.runtime, relative.state.join("run"));
    }
}
