//! Where banger's files are. `BANGER_HOME` moves all of them; otherwise the XDG base directories apply. Symbolic links on the
//! way are resolved once, here: what is written down and handed to processes stays valid when a link is removed.
//! Source of the defaults: XDG Base Directory Specification 0.8.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The product's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Configuration: `config.toml`.
    pub config: PathBuf,
    /// Data that must not be lost: database, kernels, images, disks of VMs.
    pub state: PathBuf,
    /// Data that can be fetched again.
    pub cache: PathBuf,
    /// The daemon's socket and what clients keep beside it: nothing that a running VM needs. `XDG_RUNTIME_DIR` is removed
    /// at a user's last logout.
    pub runtime: PathBuf,
}

/// The reason why the directories cannot be determined.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum PathsError {
    /// Neither `BANGER_HOME` nor `HOME` is set.
    #[error(
        "`HOME` is not set; set it to your home directory, or `BANGER_HOME` to a directory of banger's own"
    )]
    NoHome,
    /// `BANGER_HOME` is set but empty, for example from an unset variable of a script.
    #[error("`BANGER_HOME` is empty; set it to a directory, or unset it")]
    EmptyHome,
    /// A relative path would mean another directory for each working directory.
    #[error("`{variable}` is `{}`, which is not an absolute path", path.display())]
    Relative { variable: &'static str, path: PathBuf },
}

/// A path in the configuration that may mean different files in different working directories.
#[derive(Debug, thiserror::Error)]
pub enum WrittenPathError {
    /// It is relative to the working directory.
    #[error("`{}` is not an absolute path; write it from `/`, or from your home directory as `~/bin/program`", .0.display())]
    Relative(PathBuf),
    /// It is relative to a home directory that the environment does not name.
    #[error("`{}` begins in your home directory, but `HOME` is not an absolute path", .0.display())]
    NoHome(PathBuf),
}

/// Resolves a path that a user wrote where no shell reads it: `~/…` begins in the home directory.
///
/// # Errors
/// [`WrittenPathError`].
pub fn of_written(path: &Path) -> Result<PathBuf, WrittenPathError> {
    let Ok(below_home) = path.strip_prefix("~") else {
        return if path.is_absolute() {
            Ok(path.to_owned())
        } else {
            Err(WrittenPathError::Relative(path.to_owned()))
        };
    };
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.map(|home| home.join(below_home)).ok_or_else(|| WrittenPathError::NoHome(path.to_owned()))
}

impl Paths {
    /// Determines the directories from the environment, without symbolic links; does not create them.
    ///
    /// # Errors
    /// [`PathsError`].
    pub fn from_environment() -> Result<Self, PathsError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Determines the directories from variables; an empty `HOME` or XDG base directory counts as absent, and so does an
    /// `XDG_RUNTIME_DIR` that is not there any more, or is another user's, as after `su`.
    ///
    /// # Errors
    /// [`PathsError`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, PathsError> {
        let absolute = |name: &'static str| match variable(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) if Path::new(&value).is_absolute() => Ok(Some(PathBuf::from(value))),
            Some(value) => Err(PathsError::Relative { variable: name, path: value.into() }),
        };
        if variable("BANGER_HOME").is_some_and(|home| home.is_empty()) {
            return Err(PathsError::EmptyHome);
        }
        let paths = if let Some(home) = absolute("BANGER_HOME")? {
            Self::under(&home)?
        } else {
            let home = absolute("HOME")?;
            let of_user = |name, default: &str| {
                let chosen = absolute(name)?.or_else(|| home.as_ref().map(|home| home.join(default)));
                chosen.map(|base| base.join("banger")).ok_or(PathsError::NoHome)
            };
            let state = of_user("XDG_STATE_HOME", ".local/state")?;
            let runtime = absolute("XDG_RUNTIME_DIR")?.filter(|base| is_our_directory(base));
            Self {
                config: of_user("XDG_CONFIG_HOME", ".config")?,
                cache: of_user("XDG_CACHE_HOME", ".cache")?,
                runtime: runtime.map_or_else(|| runtime_in(&state), |base| base.join("banger")),
                state,
            }
        };
        Ok(paths.without_links())
    }

    /// Resolves the symbolic links in all directories.
    fn without_links(self) -> Self {
        Self {
            config: without_links(&self.config),
            state: without_links(&self.state),
            cache: without_links(&self.cache),
            runtime: without_links(&self.runtime),
        }
    }

    /// Returns the directories below one home.
    ///
    /// # Errors
    /// [`PathsError::Relative`].
    pub fn under(home: &Path) -> Result<Self, PathsError> {
        if !home.is_absolute() {
            return Err(PathsError::Relative { variable: "BANGER_HOME", path: home.to_owned() });
        }
        Ok(Self {
            config: home.join("config"),
            state: home.join("state"),
            cache: home.join("cache"),
            runtime: home.join("run"),
        })
    }

    /// Returns the path of the daemon's socket.
    #[must_use]
    pub fn daemon_socket(&self) -> PathBuf {
        self.runtime.join(DAEMON_SOCKET)
    }

    /// Returns where the daemon listens when its directory was removed and cannot be made again.
    #[must_use]
    pub fn daemon_socket_in_state(&self) -> PathBuf {
        runtime_in(&self.state).join(DAEMON_SOCKET)
    }

    /// Returns the lock file that the daemon holds for its whole life: one daemon per state directory.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.state.join("bangerd.lock")
    }

    /// Returns the path of the daemon's log.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("bangerd.log")
    }

    /// Returns the path of the database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state.join("banger.db")
    }

    /// Returns the path of the configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Returns the directory of kernels, which has one directory each.
    #[must_use]
    pub fn kernels(&self) -> PathBuf {
        self.state.join("kernels")
    }

    /// Returns the directory of images, which has one directory each.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Returns the directory of cached blobs from registries.
    #[must_use]
    pub fn blob_cache(&self) -> PathBuf {
        self.cache.join("oci")
    }

    /// Returns the directory of this user's Firecracker releases, which has one directory each.
    #[must_use]
    pub fn firecracker(&self) -> PathBuf {
        self.state.join("firecracker")
    }

    /// Returns the link to the release in use.
    #[must_use]
    pub fn firecracker_current(&self) -> PathBuf {
        self.firecracker().join("current")
    }

    /// Returns the directory of VMs, which has one directory each.
    #[must_use]
    pub fn vms(&self) -> PathBuf {
        self.state.join("vms")
    }

    /// Returns the directory with the disks, console log and handle file of one VM.
    #[must_use]
    pub fn vm(&self, id: &str) -> PathBuf {
        self.vms().join(id)
    }

    /// Returns the directory with the sockets of one VM's machine.
    #[must_use]
    pub fn vm_sockets(&self, id: &str) -> PathBuf {
        self.vm(id).join("run")
    }

    /// Returns the directory in which a client keeps what it can write again about one VM. Versions before 2026-11-30 kept the
    /// machine's sockets here.
    #[must_use]
    pub fn vm_runtime(&self, id: &str) -> PathBuf {
        self.runtime.join("vms").join(id)
    }
}

const DAEMON_SOCKET: &str = "bangerd.sock";

/// The runtime directory of those who have none elsewhere.
fn runtime_in(state: &Path) -> PathBuf {
    state.join("run")
}

fn is_our_directory(path: &Path) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    path.metadata().is_ok_and(|found| found.is_dir() && found.uid() == ours)
}

/// Resolves the symbolic links of a path as far as it exists.
fn without_links(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => without_links(parent).join(name),
        (None, _) | (_, None) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_home_holds_everything() {
        let paths = Paths::under(Path::new("/b")).unwrap();
        assert_eq!(paths.daemon_socket(), Path::new("/b/run/bangerd.sock"));
        assert_eq!(paths.database(), Path::new("/b/state/banger.db"));
        assert_eq!(paths.vm("12"), Path::new("/b/state/vms/12"));
    }

    fn paths(variables: &[(&str, &str)]) -> Result<Paths, PathsError> {
        Paths::from_variables(|name| {
            let mut known = variables.iter();
            known.find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_relative_or_missing_directory_is_refused_by_its_name() {
        let told = |variables: &[(&str, &str)]| paths(variables).unwrap_err().to_string();
        let home = ("HOME", "/home/ada");
        for name in
            ["BANGER_HOME", "HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"]
        {
            let variables = if name == "HOME" { vec![(name, "a/b")] } else { vec![home, (name, "a/b")] };
            assert_eq!(told(&variables), format!("`{name}` is `a/b`, which is not an absolute path"));
        }
        let missing = "`HOME` is not set; set it to your home directory, or `BANGER_HOME` to a directory of banger's own";
        for variables in [&[][..], &[("HOME", "")], &[("XDG_STATE_HOME", "/s")]] {
            assert_eq!(told(variables), missing);
        }
        assert_eq!(
            told(&[home, ("BANGER_HOME", "")]),
            "`BANGER_HOME` is empty; set it to a directory, or unset it"
        );
    }

    #[test]
    fn without_a_home_those_who_name_every_directory_need_none() {
        let all = [("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "/c"), ("XDG_CACHE_HOME", "/x")];
        assert_eq!(paths(&all).unwrap().config, Path::new("/c/banger"));
        assert_eq!(
            paths(&[("BANGER_HOME", "/b"), ("HOME", "relative")]).unwrap().state,
            Path::new("/b/state")
        );
    }

    #[test]
    fn the_daemons_socket_is_in_a_runtime_directory_of_ours_and_otherwise_in_the_state() {
        let scratch = tempfile::tempdir().unwrap();
        let ours = scratch.path().canonicalize().unwrap();
        let place = |runtime: &str| paths(&[("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", runtime)]).unwrap();
        let in_state = Path::new("/home/ada/.local/state/banger/run/bangerd.sock");
        assert_eq!(place(ours.to_str().unwrap()).runtime, ours.join("banger"));
        // Not set, removed at the user's last logout, and not a directory.
        for absent in ["", ours.join("gone").to_str().unwrap(), "/dev/null"] {
            assert_eq!(place(absent).daemon_socket(), in_state, "{absent}");
        }
        assert_eq!(place(ours.to_str().unwrap()).daemon_socket_in_state(), in_state);
    }

    #[test]
    fn what_a_running_vm_needs_is_not_in_the_runtime_directory() {
        let paths = Paths::under(Path::new("/b")).unwrap();
        assert_eq!(paths.vm_sockets("12"), Path::new("/b/state/vms/12/run"));
    }

    #[test]
    fn links_are_resolved_as_far_as_the_path_exists() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = scratch.path().canonicalize().unwrap();
        let (home, link) = (scratch.join("home"), scratch.join("link"));
        std::fs::create_dir_all(home.join("run")).unwrap();
        symlink(&home, &link).unwrap();
        let link = link.to_str().unwrap();
        assert_eq!(paths(&[("BANGER_HOME", link)]).unwrap(), Paths::under(&home).unwrap());
        let of_user = paths(&[("HOME", link), ("XDG_RUNTIME_DIR", link)]).unwrap();
        assert_eq!(of_user.state, home.join(".local/state/banger"));
        assert_eq!(of_user.runtime, home.join("banger"));
    }

    #[test]
    fn a_written_path_is_absolute_or_begins_in_the_home_directory() {
        assert_eq!(of_written(Path::new("/opt/fc")).unwrap(), Path::new("/opt/fc"));
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap();
        assert_eq!(of_written(Path::new("~/bin/fc")).unwrap(), home.join("bin/fc"));
        for relative in ["fc", "bin/fc", "./fc", "../fc", "~fc", "~root/fc", ""] {
            let refused = of_written(Path::new(relative));
            assert!(matches!(refused, Err(WrittenPathError::Relative(_))), "{relative}: {refused:?}");
        }
    }
}
