//! Converts the host's `ExecStart` to arguments for execve. Pure, except for the working directory, which is opened here.

use std::{
    collections::HashMap,
    ffi::{CString, NulError},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use banger_agent_proto::{ExecStart, exec_failed::Reason};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::account::{Account, AccountError};
use super::defaults::Shell;
use crate::rooted;

pub(super) const PATH_DEFAULT: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command cannot be started as requested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("an argument of the command contains a zero byte")]
    ZeroByte(#[from] NulError),
    #[error("the variable `{name}` contains a zero byte")]
    VariableZeroByte { name: String },
    #[error("the name of a variable is empty or contains `=`")]
    VariableName,
    #[error("the working directory `{directory}` does not exist")]
    NoWorkingDirectory { directory: String },
    #[error("cannot enter the working directory `{directory}`")]
    WorkingDirectory { directory: String, source: Errno },
}

impl PlanError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Account(_) => Reason::NoSuchUser,
            Self::NoWorkingDirectory { .. } | Self::WorkingDirectory { .. } => Reason::BadWorkingDirectory,
            Self::ZeroByte(_) | Self::VariableZeroByte { .. } | Self::VariableName => Reason::Other,
        }
    }
}

/// The argument and environment lists for execve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) environment: Vec<CString>,
}

/// Builds the lists. Without an argument list, the command is the user's shell.
pub(crate) fn image(start: &ExecStart, account: &Account, shell: Shell) -> Result<Image, PlanError> {
    let variables = variables(start, account)?;
    let path = variables.iter().find(|(name, _)| name == b"PATH").map_or(PATH_DEFAULT, |(_, value)| value);
    let (candidates, argv) = if let Some(program) = start.argv.first() {
        let argv = start.argv.iter().map(|argument| CString::new(argument.to_vec()));
        (candidates(program, path), argv.collect::<Result<Vec<_>, _>>())
    } else {
        let program = shell_of(account, shell);
        let name = match shell {
            Shell::Login => login_name(program),
            Shell::Plain => program.to_vec(),
        };
        (vec![program.to_vec()], CString::new(name).map(|name| vec![name]))
    };
    Ok(Image {
        candidates: candidates.into_iter().map(CString::new).collect::<Result<_, _>>()?,
        argv: argv?,
        environment: variables
            .into_iter()
            .map(|(name, value)| variable(&name, &value))
            .collect::<Result<_, _>>()?,
    })
}

/// Returns the shell of a user. Users of container images have `nologin` where nobody logs in; whoever enters a container
/// wants a shell all the same.
pub(crate) fn shell_of(account: &Account, shell: Shell) -> &[u8] {
    let refuses = [&b"/nologin"[..], b"/false"].iter().any(|name| account.shell.ends_with(name));
    match shell {
        Shell::Plain if refuses => b"/bin/sh",
        Shell::Plain | Shell::Login => &account.shell,
    }
}

fn variable(name: &[u8], value: &[u8]) -> Result<CString, PlanError> {
    // The position that the source of the error has is of no use to anybody.
    CString::new([name, b"=", value].concat())
        .map_err(|_nul| PlanError::VariableZeroByte { name: String::from_utf8_lossy(name).into_owned() })
}

/// Opens the initial working directory: the requested one, or else the home, or else the root.
pub(crate) fn working_directory(start: &ExecStart, home: &Path) -> Result<OwnedFd, PlanError> {
    if start.working_directory.is_empty() {
        return open_directory(home).or_else(|_| open_directory(Path::new("/")));
    }
    open_directory(Path::new(std::ffi::OsStr::from_bytes(&start.working_directory)))
}

/// Makes the working directory that an image names but does not contain, below `root`.
pub(crate) fn make_working_directory(root: &Path, directory: &[u8]) -> Result<(), PlanError> {
    let path = Path::new(std::ffi::OsStr::from_bytes(directory));
    rooted::make_directory(root, path).map(drop).map_err(|error| PlanError::WorkingDirectory {
        directory: path.display().to_string(),
        source: Errno::from_io_error(&error).unwrap_or(Errno::NOTDIR),
    })
}

fn open_directory(path: &Path) -> Result<OwnedFd, PlanError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(
        |source| match (source, path.display().to_string()) {
            (Errno::NOENT, directory) => PlanError::NoWorkingDirectory { directory },
            (source, directory) => PlanError::WorkingDirectory { directory, source },
        },
    )
}

/// Returns the path of an open directory in the root.
pub(crate) fn path_of(directory: &OwnedFd) -> CString {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).unwrap_or_default();
    // A path contains no zero byte; if it cannot be determined, the root is used.
    CString::new(path.as_os_str().as_bytes())
        .ok()
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| c"/".to_owned())
}

type Variables = Vec<(Vec<u8>, Vec<u8>)>;

fn variables(start: &ExecStart, account: &Account) -> Result<Variables, PlanError> {
    let mut variables = vec![
        (b"PATH".to_vec(), PATH_DEFAULT.to_vec()),
        (b"HOME".to_vec(), account.home.clone()),
        (b"USER".to_vec(), account.name.clone()),
        (b"LOGNAME".to_vec(), account.name.clone()),
        (b"SHELL".to_vec(), account.shell.clone()),
    ];
    // Images exist with thousands of variables: each is found by its name at once.
    let mut places: HashMap<Vec<u8>, usize> =
        variables.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
    for variable in &start.environment {
        if variable.name.is_empty() || variable.name.contains(&b'=') {
            return Err(PlanError::VariableName);
        }
        let place = *places.entry(variable.name.to_vec()).or_insert(variables.len());
        match variables.get_mut(place) {
            Some((_, value)) => *value = variable.value.to_vec(),
            None => variables.push((variable.name.to_vec(), variable.value.to_vec())),
        }
    }
    Ok(variables)
}

/// A name without a slash is searched in PATH, in which an empty entry means the working directory.
pub(super) fn candidates(program: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    path.split(|b| *b == b':')
        .map(|directory| match directory {
            [] => [b"./", program].concat(),
            directory => [directory, b"/", program].concat(),
        })
        .collect()
}

/// A shell whose name is passed with a leading dash reads the user's profile.
fn login_name(shell: &[u8]) -> Vec<u8> {
    let base = shell.rsplit(|b| *b == b'/').next().unwrap_or(shell);
    [b"-", base].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::account::AccountFiles;
    use banger_agent_proto::EnvironmentVariable;

    fn start(argv: &[&[u8]]) -> ExecStart {
        ExecStart { argv: argv.iter().map(|a| a.to_vec().into()).collect(), ..ExecStart::default() }
    }

    fn root() -> Account {
        AccountFiles::default().resolve("").unwrap()
    }

    #[test]
    fn arguments_stay_as_they_are() {
        let image =
            image(&start(&[b"/bin/x", b"", b"a b", b"\"'\n", b"\xff\xfe"]), &root(), Shell::Login).unwrap();
        let argv: Vec<_> = image.argv.iter().map(|argument| argument.to_bytes()).collect();
        assert_eq!(argv, [&b"/bin/x"[..], b"", b"a b", b"\"'\n", b"\xff\xfe"]);
        assert_eq!(image.candidates, [c"/bin/x".to_owned()]);
    }

    #[test]
    fn a_name_is_searched_in_the_path_of_the_command() {
        let mut start = start(&[b"tool"]);
        start.environment.push(EnvironmentVariable { name: "PATH".into(), value: "/a::/b/".into() });
        let image = image(&start, &root(), Shell::Login).unwrap();
        assert_eq!(image.candidates, [c"/a/tool".to_owned(), c"./tool".to_owned(), c"/b//tool".to_owned()]);
    }

    #[test]
    fn no_arguments_mean_a_login_shell() {
        let image = image(&start(&[]), &root(), Shell::Login).unwrap();
        assert_eq!((image.candidates, image.argv), (vec![c"/bin/sh".to_owned()], vec![c"-sh".to_owned()]));
        let locked = Account { shell: b"/usr/sbin/nologin".to_vec(), ..root() };
        assert_eq!(shell_of(&locked, Shell::Plain), b"/bin/sh");
        assert_eq!(shell_of(&locked, Shell::Login), b"/usr/sbin/nologin");
        let plain = super::image(&start(&[]), &root(), Shell::Plain).unwrap();
        assert_eq!(
            (plain.candidates, plain.argv),
            (vec![c"/bin/sh".to_owned()], vec![c"/bin/sh".to_owned()])
        );
    }

    #[test]
    fn a_working_directory_that_no_layer_has_is_made_also_behind_a_link() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/data", root.path().join("srv")).unwrap();
        make_working_directory(root.path(), b"/srv/app").unwrap();
        assert!(root.path().join("data/app").is_dir());
        std::fs::write(root.path().join("data/file"), "").unwrap();
        let error = make_working_directory(root.path(), b"/srv/file/app").unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.reason()),
            ("cannot enter the working directory `/srv/file/app`", Reason::BadWorkingDirectory,)
        );
    }

    #[test]
    fn an_empty_program_name_is_found_nowhere() {
        assert!(image(&start(&[b""]), &root(), Shell::Login).unwrap().candidates.is_empty());
    }

    #[test]
    fn the_callers_variables_win() {
        let mut start = start(&[b"x"]);
        start.environment.push(EnvironmentVariable { name: "HOME".into(), value: "/elsewhere".into() });
        start.environment.push(EnvironmentVariable { name: "A".into(), value: "1=2".into() });
        let environment = image(&start, &root(), Shell::Login).unwrap().environment;
        assert!(environment.contains(&c"HOME=/elsewhere".to_owned()));
        assert!(environment.contains(&c"A=1=2".to_owned()));
        assert!(!environment.iter().any(|v| v.as_bytes().starts_with(b"TERM=")));
    }

    #[test]
    fn bad_variables_and_zero_bytes_are_refused() {
        let mut start_with_name = start(&[b"x"]);
        start_with_name.environment.push(EnvironmentVariable { name: "A=B".into(), value: "1".into() });
        assert!(matches!(image(&start_with_name, &root(), Shell::Login), Err(PlanError::VariableName)));
        assert!(matches!(image(&start(&[b"a\0b"]), &root(), Shell::Login), Err(PlanError::ZeroByte(_))));
        let mut start = start(&[b"x"]);
        start.environment.push(EnvironmentVariable { name: "A".into(), value: "b\0c".into() });
        let told = image(&start, &root(), Shell::Login).unwrap_err().to_string();
        assert_eq!(told, "the variable `A` contains a zero byte");
    }
}
