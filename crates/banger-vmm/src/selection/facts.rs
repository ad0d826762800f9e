//! What the host has to run VMs with.

use std::error::Error as _;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use banger_sys::host::{self, Virtualization};
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};

use crate::firecracker::{self, Version};

/// Name of QEMU's program.
pub const QEMU_PROGRAM: &str = "qemu-system-x86_64";

/// Where taps are made.
pub(super) const TUN: &str = "/dev/net/tun";

/// Where Firecracker is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirecrackerPlace {
    /// The file that the configuration names. When it cannot be used, no other one takes its place.
    Configured(PathBuf),
    /// Where banger installs it. When it is not there, the one on `PATH` is used.
    Installed(PathBuf),
}

/// What the host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The Firecracker that would be used.
    pub firecracker: Option<FoundFirecracker>,
    /// Where QEMU is.
    pub qemu: Option<PathBuf>,
    /// Whether ordinary guests can run on the processor.
    pub virtualization: Virtualization,
    /// Why this user cannot create namespaces; `None`: it can.
    pub no_namespaces: Option<String>,
    /// Whether this user may make taps.
    pub has_tun: bool,
}

/// A Firecracker of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFirecracker {
    /// Where it is, or should be.
    pub program: PathBuf,
    /// Its version, or why it is not known.
    pub version: Result<Version, String>,
    /// Whether it runs without libraries of the host, which it does not see in its cell.
    pub is_static: bool,
    /// Whether the configuration names it.
    pub is_configured: bool,
}

impl HostFacts {
    /// Looks at the host.
    #[must_use]
    pub fn look(firecracker: &FirecrackerPlace) -> Self {
        Self {
            firecracker: FoundFirecracker::find(firecracker),
            qemu: host::find_program(QEMU_PROGRAM),
            virtualization: host::virtualization(),
            no_namespaces: host::try_user_namespaces().err().map(|error| error.to_string()),
            has_tun: OpenOptions::new().read(true).write(true).open(TUN).is_ok(),
        }
    }
}

impl FoundFirecracker {
    fn find(place: &FirecrackerPlace) -> Option<Self> {
        match place {
            FirecrackerPlace::Configured(program) => {
                let version = check_program(program).and_then(|()| ask(program));
                Some(Self::new(program.clone(), version, true))
            }
            FirecrackerPlace::Installed(program) => {
                let program = Some(program.clone()).filter(|program| program.is_file());
                let program = program.or_else(|| host::find_program(firecracker::PROGRAM_NAME))?;
                let version = ask(&program);
                Some(Self::new(program, version, false))
            }
        }
    }

    fn new(program: PathBuf, version: Result<Version, String>, is_configured: bool) -> Self {
        Self { is_static: is_static(&program), program, version, is_configured }
    }
}

/// Says what keeps a file from being run.
fn check_program(program: &Path) -> Result<(), String> {
    let shown = program.display();
    match std::fs::metadata(program) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("`{shown}` does not exist"))
        }
        Err(error) => Err(format!("cannot examine `{shown}`: {error}")),
        Ok(metadata) if metadata.is_dir() => Err(format!("`{shown}` is a directory")),
        Ok(metadata) if !metadata.is_file() => Err(format!("`{shown}` is not a file")),
        Ok(_file) => rustix::fs::access(program, rustix::fs::Access::EXEC_OK)
            .map_err(|_errno| format!("`{shown}` is not executable by this user")),
    }
}

fn ask(program: &Path) -> Result<Version, String> {
    firecracker::version_of(program).map_err(|error| match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

/// Tells whether a program needs no interpreter: neither a dynamic linker nor a shell. One that cannot be read passes: it may
/// be run all the same.
fn is_static(program: &Path) -> bool {
    let Ok(file) = File::open(program) else { return true };
    let content = ReadCache::new(file);
    let has_interpreter = || -> Result<bool, object::Error> {
        let header = FileHeader64::<Endianness>::parse(&content)?;
        let endian = header.endian()?;
        let mut segments = header.program_headers(endian, &content)?.iter();
        Ok(segments.any(|segment| segment.p_type(endian) == PT_INTERP))
    };
    has_interpreter().is_ok_and(|has| !has)
}

#[cfg(test)]
mod tests {
    use banger_sys::files::write_atomic;

    use super::*;

    #[test]
    fn the_installed_firecracker_comes_before_one_on_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let installed = directory.path().join("firecracker");
        let found = || {
            let place = FirecrackerPlace::Installed(installed.clone());
            FoundFirecracker::find(&place).map(|found| found.program)
        };
        assert_ne!(found().as_deref(), Some(installed.as_path()));
        std::fs::write(&installed, "").unwrap();
        assert_eq!(found(), Some(installed.clone()));
    }

    /// What is said of a configured program, in a directory that is called `D`.
    fn said_of(name: &str, make: impl FnOnce(&Path)) -> String {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(name);
        make(&program);
        let found = FoundFirecracker::find(&FirecrackerPlace::Configured(program.clone())).unwrap();
        assert_eq!((&found.program, found.is_configured), (&program, true));
        let said = found.version.map_or_else(|why| why, |version| version.to_string());
        said.replace(&directory.path().display().to_string(), "D")
    }

    #[test]
    fn a_configured_program_is_used_or_said_to_be_of_no_use_and_never_replaced() {
        let script = |text: &'static str| {
            move |path: &Path| write_atomic(path, format!("#!/bin/sh\n{text}\n").as_bytes(), 0o755).unwrap()
        };
        assert_eq!(said_of("fc", script("echo Firecracker v1.14.0")), "1.14.0");
        assert_eq!(said_of("fc", |_| ()), "`D/fc` does not exist");
        assert_eq!(said_of("fc", |path| std::fs::create_dir(path).unwrap()), "`D/fc` is a directory");
        let link = |path: &Path| std::os::unix::fs::symlink("nowhere", path).unwrap();
        assert_eq!(said_of("fc", link), "`D/fc` does not exist");
        let plain = |path: &Path| write_atomic(path, b"Firecracker", 0o644).unwrap();
        assert_eq!(said_of("fc", plain), "`D/fc` is not executable by this user");
        assert_eq!(
            said_of("fc", script("echo hello")),
            "`D/fc` is not Firecracker: `hello` is not a version"
        );
        assert_eq!(said_of("fc", script("true")), "`D/fc` is not Firecracker: it does not print a version");
        let without_interpreter = |path: &Path| write_atomic(path, b"#!/nowhere/sh\n", 0o755).unwrap();
        let cannot_run = said_of("fc", without_interpreter);
        assert!(cannot_run.starts_with("cannot run `D/fc`: "), "{cannot_run}");
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let alone = directory.path().join("alone");
        banger_conformance::write_tiny_guest(
            &alone,
            "x",
            banger_conformance::Does::Run,
            banger_conformance::Entry::Any,
        );
        let programs = [
            (script.as_path(), false),
            (Path::new("/bin/sh"), false),
            (&alone, true),
            (Path::new("/nowhere"), true),
        ];
        for (program, wanted) in programs {
            assert_eq!(is_static(program), wanted, "{}", program.display());
        }
    }
}
