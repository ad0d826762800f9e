//! What the arguments of `vm cp` mean. Pure: nothing is asked, nothing is made.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use banger_client::copy::{CopyPlan, GuestPath, Place, Sources};
use banger_model::NameError;
use bytes::Bytes;

use crate::args::shared::parse_vm;
use crate::args::vm::CpArgs;
use crate::error::{CliError, Kind};

/// Stands for stdin or stdout.
const STREAM: &str = "-";

/// Why arguments of `vm cp` are not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CpPlanError {
    #[error("neither the source nor the destination is in a VM; a path in a VM is VM:PATH")]
    NoVm,
    #[error("`{}` looks like a path in a VM, but {source}; for a file on the host, use `./{}`", argument.display(), argument.display())]
    BadVm { argument: OsString, source: NameError },
    #[error("sources on the host and in VMs cannot be mixed; copy them one after the other")]
    MixedSources,
    #[error("`-` is a tar of one source; no other source can be given")]
    StreamAndMore,
    #[error("`--json` cannot be used with a tar on stdout")]
    JsonIntoStream,
    #[error("a path cannot contain a zero byte")]
    ZeroByte,
    #[error("only root can keep owners on the host; leave out `--archive`")]
    OwnersNeedRoot,
}

impl From<CpPlanError> for CliError {
    fn from(error: CpPlanError) -> Self {
        Self::new(Kind::Usage, error)
    }
}

/// Returns what the arguments mean.
pub(super) fn plan(args: &CpArgs, is_root: bool) -> Result<CopyPlan, CpPlanError> {
    let destination = place(&args.destination)?;
    let places = args.sources.iter().map(|source| place(source)).collect::<Result<Vec<_>, _>>()?;
    let sources = sources(places)?;
    let has_vm = matches!(sources, Sources::Guest(_)) || matches!(destination, Place::Guest(_));
    if !has_vm {
        return Err(CpPlanError::NoVm);
    }
    let count = match &sources {
        Sources::Host(paths) => paths.len(),
        Sources::Guest(paths) => paths.len(),
        // A tar holds any number of things.
        Sources::Stream => 2,
    };
    if args.json.json && destination == Place::Stream {
        return Err(CpPlanError::JsonIntoStream);
    }
    if args.archive && matches!(destination, Place::Host(_)) && !is_root {
        return Err(CpPlanError::OwnersNeedRoot);
    }
    Ok(CopyPlan {
        into_directory: count > 1,
        sources,
        destination,
        keeps_owners: args.archive,
        follows_links: args.follow_link,
    })
}

fn sources(places: Vec<Place>) -> Result<Sources, CpPlanError> {
    let count = places.len();
    let (mut host, mut guest) = (Vec::new(), Vec::new());
    for place in places {
        match place {
            Place::Host(path) => host.push(path),
            Place::Guest(path) => guest.push(path),
            Place::Stream if count > 1 => return Err(CpPlanError::StreamAndMore),
            Place::Stream => return Ok(Sources::Stream),
        }
    }
    match (host.is_empty(), guest.is_empty()) {
        (false, false) => Err(CpPlanError::MixedSources),
        (true, _) => Ok(Sources::Guest(guest)),
        (false, true) => Ok(Sources::Host(host)),
    }
}

/// Reads one argument. What has a colon before its first slash is in a VM.
fn place(argument: &OsStr) -> Result<Place, CpPlanError> {
    let bytes = argument.as_bytes();
    if bytes.contains(&0) {
        return Err(CpPlanError::ZeroByte);
    }
    if argument == STREAM {
        return Ok(Place::Stream);
    }
    let colon = bytes.iter().position(|byte| *byte == b':');
    let slash = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
    let Some((vm, path)) =
        colon.filter(|colon| *colon < slash).and_then(|colon| bytes.split_at_checked(colon))
    else {
        return Ok(Place::Host(argument.into()));
    };
    let vm = parse_vm(&String::from_utf8_lossy(vm))
        .map_err(|source| CpPlanError::BadVm { argument: argument.to_owned(), source })?;
    let path = path.get(1..).unwrap_or_default();
    Ok(Place::Guest(GuestPath { vm, path: Bytes::copy_from_slice(from_home(path)) }))
}

/// A shell does not expand the `~` behind a colon; who writes it means root's home, where relative paths begin.
fn from_home(path: &[u8]) -> &[u8] {
    match path {
        b"~" => b"",
        path => path.strip_prefix(b"~/").unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::shared::JsonArgs;

    fn plan(arguments: &[&str]) -> Result<CopyPlan, CpPlanError> {
        let (destination, sources) = arguments.split_last().unwrap();
        let args = CpArgs {
            sources: sources.iter().map(OsString::from).collect(),
            destination: destination.into(),
            archive: false,
            follow_link: false,
            recursive: false,
            json: JsonArgs { json: false },
        };
        super::plan(&args, false)
    }

    fn guest(vm: &str, path: &str) -> GuestPath {
        GuestPath { vm: vm.into(), path: Bytes::copy_from_slice(path.as_bytes()) }
    }

    #[test]
    fn a_colon_before_the_first_slash_means_a_vm() {
        for (argument, expected) in [
            ("dev:/etc/hosts", Place::Guest(guest("dev", "/etc/hosts"))),
            ("dev:", Place::Guest(guest("dev", ""))),
            ("dev:a:b", Place::Guest(guest("dev", "a:b"))),
            ("dev:~/x", Place::Guest(guest("dev", "x"))),
            ("dev:~", Place::Guest(guest("dev", ""))),
            ("dev:~x", Place::Guest(guest("dev", "~x"))),
            ("./dev:x", Place::Host("./dev:x".into())),
            ("a/b:c", Place::Host("a/b:c".into())),
            ("plain", Place::Host("plain".into())),
            ("-", Place::Stream),
        ] {
            assert_eq!(place(OsStr::new(argument)), Ok(expected), "{argument}");
        }
    }

    #[test]
    fn several_sources_need_a_directory() {
        assert!(!plan(&["a", "dev:b"]).unwrap().into_directory);
        assert!(plan(&["a", "b", "dev:c"]).unwrap().into_directory);
        assert!(plan(&["dev:a", "test:b", "."]).unwrap().into_directory);
        assert!(plan(&["-", "dev:c"]).unwrap().into_directory);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        let refusal = |arguments: &[&str]| plan(arguments).unwrap_err().to_string();
        let lines = [
            refusal(&["a", "b"]),
            refusal(&["a", "dev:b", "test:"]),
            refusal(&["a", "-", "dev:"]),
            refusal(&["C:x", "dev:"]),
            refusal(&[":x", "dev:"]),
            refusal(&["-", "-"]),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        neither the source nor the destination is in a VM; a path in a VM is VM:PATH
        sources on the host and in VMs cannot be mixed; copy them one after the other
        `-` is a tar of one source; no other source can be given
        `C:x` looks like a path in a VM, but VM name `C`: use only a–z, 0–9 and `-`; for a file on the host, use `./C:x`
        `:x` looks like a path in a VM, but the VM name is empty; for a file on the host, use `./:x`
        neither the source nor the destination is in a VM; a path in a VM is VM:PATH
        ");
        let args = || CpArgs {
            sources: vec!["dev:a".into()],
            destination: ".".into(),
            archive: true,
            follow_link: false,
            recursive: false,
            json: JsonArgs { json: false },
        };
        assert_eq!(super::plan(&args(), false), Err(CpPlanError::OwnersNeedRoot));
        assert!(super::plan(&args(), true).unwrap().keeps_owners);
    }
}
