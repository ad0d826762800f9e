//! Runs `mmdebstrap`, which installs Debian packages into a directory of its own and streams the result as a tar.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::exec::{Tool, ToolError};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::net::unix::pipe;

use crate::apt::FILE_BYTES_MAX;
use crate::image::build_directory::{BuildDirectory, Privilege};
use crate::image::recipe::Recipe;
use crate::progress::Progress;

const BOOTSTRAP_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// How much of the tool's log is kept for an error, and of one line of it.
const TOLD_BYTES_MAX: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 4096;
const STAGE: &str = "bootstrap debian packages";

/// What `mmdebstrap` is told.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    pub(crate) recipe: &'a Recipe,
    /// Architecture in Debian's words.
    pub(crate) arch: &'a str,
    pub(crate) privilege: Privilege,
    /// Settings of apt, for the bootstrap only.
    pub(crate) settings: Vec<String>,
    /// The host's sources of the suite; without them the tool takes its own.
    pub(crate) sources: Option<String>,
}

impl Bootstrap<'_> {
    /// Runs the tool; `consume` reads the tar from its stdout.
    pub(crate) async fn run<T>(
        &self,
        build: &BuildDirectory,
        progress: &Progress,
        consume: impl AsyncFnOnce(tokio::process::ChildStdout) -> io::Result<T>,
    ) -> Result<T, ToolError> {
        let failed = |source| ToolError::Run { tool: "mmdebstrap".to_owned(), source };
        let sources = build.path().join("debian.sources");
        if let Some(text) = &self.sources {
            fs::write(&sources, text).map_err(failed)?;
        }
        let log = build.path().join("log");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &log, mode).map_err(|errno| failed(errno.into()))?;
        // Opened for both, so that it never ends while the tool opens and closes it.
        let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&log).map_err(failed)?;
        let tool = Tool::new("mmdebstrap")
            .args(self.arguments(&log, self.sources.is_some().then_some(&sources)))
            .env("TMPDIR", build.path())
            .env("DEBIAN_FRONTEND", "noninteractive")
            .umask(0o022)
            .file_bytes_max(FILE_BYTES_MAX)
            .deadline(BOOTSTRAP_DEADLINE);
        let mut told = String::new();
        let ended = tokio::select! {
            ended = tool.run_with(consume) => ended,
            () = follow(receiver, progress, &mut told) => std::future::pending().await,
        };
        // The tool wrote its reasons to the log and not to its stderr.
        ended.map_err(|error| match error {
            ToolError::Failed { tool, .. } if told.contains("File too large") => {
                ToolError::FileTooLarge { tool, bytes_max: FILE_BYTES_MAX }
            }
            ToolError::Failed { tool, status, stderr } => {
                ToolError::Failed { tool, status, stderr: format!("{stderr}{told}") }
            }
            other @ (ToolError::Missing { .. }
            | ToolError::Run { .. }
            | ToolError::TooSlow { .. }
            | ToolError::TooMuchOutput { .. }
            | ToolError::FileTooLarge { .. }) => other,
        })
    }

    fn arguments(&self, log: &Path, sources: Option<&PathBuf>) -> Vec<String> {
        let recipe = self.recipe;
        let mode = match self.privilege {
            Privilege::Root => "root",
            Privilege::UserNamespace => "unshare",
        };
        let mut arguments = vec![
            format!("--mode={mode}"),
            "--format=tar".to_owned(),
            "--variant=minbase".to_owned(),
            format!("--architectures={}", self.arch),
            format!("--include={}", recipe.packages.join(",")),
            format!("--logfile={}", log.display()),
        ];
        arguments.extend(recipe.dpkg_options.iter().map(|option| format!("--dpkgopt={option}")));
        arguments.extend(recipe.excluded_paths.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
        arguments.extend(recipe.included_paths.iter().map(|path| format!("--dpkgopt=path-include={path}")));
        arguments.extend(self.settings.iter().map(|setting| format!("--aptopt={setting}")));
        // `-` as the target: the tar goes to stdout.
        arguments.extend([recipe.suite.clone(), "-".to_owned()]);
        arguments.extend(sources.map(|path| path.display().to_string()));
        arguments
    }
}

/// Tells the tool's own stages as they come, and keeps what it says of a failure.
async fn follow(log: pipe::Receiver, progress: &Progress, told: &mut String) {
    let mut log = tokio::io::BufReader::new(log);
    while let Some(line) = next_line(&mut log).await {
        let line = String::from_utf8_lossy(&line);
        if let Some(stage) = stage_of(&line) {
            progress.stage(STAGE, stage);
        } else if is_complaint(&line) && told.len() + line.len() < TOLD_BYTES_MAX {
            told.push_str(&line);
            told.push('\n');
        }
    }
}

fn is_complaint(line: &str) -> bool {
    ["E: ", "W: ", "Err:"].iter().any(|start| line.starts_with(start))
}

/// Returns the next line, shortened where it is too long; `None` when nothing can be read any more.
async fn next_line(log: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let bytes = log.fill_buf().await.ok().filter(|bytes| !bytes.is_empty())?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend(piece.iter().take(room));
        let used = piece.len() + usize::from(end.is_some());
        log.consume(used);
        if end.is_some() {
            return Some(line);
        }
    }
}

fn stage_of(line: &str) -> Option<&str> {
    let text = line.strip_prefix("I: ")?.strip_suffix("...")?;
    (!text.contains("tempdir")).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::debian_recipe;

    #[test]
    fn only_the_tools_stages_are_told() {
        assert_eq!(stage_of("I: installing essential packages..."), Some("installing essential packages"));
        assert_eq!(stage_of("I: removing tempdir /tmp/mmdebstrap.x..."), None);
        assert_eq!(stage_of("Get:1 something"), None);
    }

    #[tokio::test]
    async fn a_line_of_the_log_without_an_end_is_shortened() {
        let mut text = b"I: one...\n".to_vec();
        text.extend(vec![b'x'; 1 << 20]);
        text.extend(b"\nE: two\nrest");
        let mut log = text.as_slice();
        assert_eq!(next_line(&mut log).await.unwrap(), b"I: one...");
        assert_eq!(next_line(&mut log).await.unwrap(), vec![b'x'; LINE_BYTES_MAX]);
        assert_eq!(next_line(&mut log).await.unwrap(), b"E: two");
        assert_eq!(next_line(&mut log).await, None);
    }

    #[test]
    fn the_tool_hears_the_recipe_and_no_mirror_of_ours() {
        let recipe = debian_recipe();
        let bootstrap = Bootstrap {
            recipe: &recipe,
            arch: "amd64",
            privilege: Privilege::UserNamespace,
            settings: vec!["Acquire::http::Proxy \"http://proxy.test\";".to_owned()],
            sources: None,
        };
        let arguments = bootstrap.arguments(Path::new("/b/log"), None);
        assert_eq!(arguments.first().unwrap(), "--mode=unshare");
        assert_eq!(arguments.last().unwrap(), "-");
        assert!(arguments.contains(&"--aptopt=Acquire::http::Proxy \"http://proxy.test\";".to_owned()));
        assert!(arguments.contains(&"--dpkgopt=path-exclude=/usr/share/man/*".to_owned()));
        let sources = PathBuf::from("/b/host.sources");
        assert_eq!(
            bootstrap.arguments(Path::new("/b/log"), Some(&sources)).last().unwrap(),
            "/b/host.sources"
        );
    }
}
