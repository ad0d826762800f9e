//! Files of environment variables (`--env-file`), as docker reads them: a variable on each line, without quotes and
//! expansion; blank lines and lines that start with `#` are skipped.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::args::process::ProcessArgs;
use crate::error::{CliError, Kind};

/// Longest part of a line that is shown: a file that holds no text at all is one long line.
const SHOWN_BYTES_MAX: usize = 80;

/// Why a file gives no variables.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentFileError {
    #[error("cannot read the environment file `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`, line {line}: `{}` is not a valid variable; use NAME=VALUE, or NAME", path.display(), text.display())]
    Line { path: PathBuf, line: usize, text: OsString },
}

impl From<EnvironmentFileError> for CliError {
    fn from(error: EnvironmentFileError) -> Self {
        Self::new(Kind::Usage, error)
    }
}

/// Puts the variables of the files before those of the command line, which win over them.
pub(crate) fn join(mut args: ProcessArgs) -> Result<ProcessArgs, EnvironmentFileError> {
    let mut variables = Vec::new();
    for path in std::mem::take(&mut args.environment_files) {
        let content = std::fs::read(&path)
            .map_err(|source| EnvironmentFileError::Read { path: path.clone(), source })?;
        variables.extend(parse(&path, &content)?);
    }
    variables.append(&mut args.environment);
    args.environment = variables;
    Ok(args)
}

fn parse(path: &Path, content: &[u8]) -> Result<Vec<OsString>, EnvironmentFileError> {
    let mut variables = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) || line.contains(&0) {
            let text = OsStr::from_bytes(line.get(..SHOWN_BYTES_MAX).unwrap_or(line)).to_owned();
            return Err(EnvironmentFileError::Line { path: path.to_owned(), line: index + 1, text });
        }
        variables.push(OsStr::from_bytes(line).to_owned());
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_variables_as_docker_reads_them() {
        let content = b"# a comment\n\nA=b\r\n  B=c d \nHOME\nE=\nQ=\"x\"\nU=a=b#c";
        let variables = parse(Path::new("f"), content).unwrap();
        assert_eq!(variables, ["A=b", "B=c d ", "HOME", "E=", "Q=\"x\"", "U=a=b#c"]);
    }

    #[test]
    fn a_line_that_is_no_variable_is_refused_with_its_place() {
        for text in ["A=b\n=x", "A=b\nmy name=x"] {
            let told = parse(Path::new("f"), text.as_bytes()).unwrap_err().to_string();
            assert!(told.starts_with("`f`, line 2: `"), "{told}");
        }
        assert!(parse(Path::new("f"), b"A=\0").is_err());
        let told = parse(Path::new("f"), &[b'x', 0].repeat(4096)).unwrap_err().to_string();
        assert!(told.len() < 200, "{told}");
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic_and_none_gives_a_nameless_variable(content in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(variables) = parse(Path::new("f"), &content) {
                prop_assert!(variables.iter().all(|v| !v.as_bytes().starts_with(b"=") && !v.is_empty()));
            }
        }
    }
}
