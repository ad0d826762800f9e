//! What the arguments of `vm run` and `vm exec` mean. Pure: nothing is asked, nothing is made.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use banger_agent_proto::{EnvironmentVariable, ExecStart, WindowSize};
use banger_api::CreateVm;
use bytes::Bytes;

use crate::args::create::RunArgs;
use crate::args::process::ProcessArgs;
use crate::args::vm::ExecArgs;
use crate::error::{CliError, Kind};
use crate::escape_keys::EscapeKeys;
use crate::shell_words;
use crate::source_path::is_archive_name;

/// Why arguments that are valid one by one are not valid together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(
        "unexpected argument `{0}`; `vm run` does not copy directories: start the VM with `-d --name NAME`, then use \
         `banger cp {0} NAME:`"
    )]
    FirstPath(String),
    #[error(
        "`{0}` is an archive, and its prefix is missing, which says how to read it, as in `docker-archive:{0}`"
    )]
    FirstArchive(String),
    #[error("`{0}` and `--image` both name an image; use one of them")]
    TwoImages(String),
    #[error("`-d` leaves the VM running and `--rm` deletes it; use one of them")]
    DetachedRemove,
    #[error(
        "`--rm` deletes the VM when its command ends, and `--idempotency-key` shares it with other callers; use one of them, \
         or `--ttl` for a shared VM that is deleted later"
    )]
    SharedRemove,
    #[error("`-d` needs a command, as in `banger exec -d VM COMMAND`")]
    DetachedShell,
    #[error("`--entrypoint ''` takes the image's command away; say what to run instead")]
    NoEntrypoint,
    #[error("the working directory `{0}` is not an absolute path, as in `/srv`")]
    RelativeDirectory(String),
    #[error("`{}` is not a valid variable; use NAME=VALUE, or NAME to pass the variable of this shell", .0.display())]
    NoVariable(OsString),
}

impl From<PlanError> for CliError {
    fn from(error: PlanError) -> Self {
        Self::new(Kind::Usage, error)
    }
}

/// What `vm run` does.
#[derive(Debug, PartialEq)]
pub(crate) struct RunPlan {
    pub(crate) create: CreateVm,
    pub(crate) then: Then,
    /// The line that runs the words as a command which begin with an image.
    pub(crate) as_command: Option<String>,
}

/// What comes after the VM is there.
#[derive(Debug, PartialEq)]
pub(crate) enum Then {
    /// Start the process in the background and print the VM's name.
    Detach(Process),
    /// Run the process in it.
    Enter { process: Process, after: After },
}

/// What becomes of the VM after its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Delete,
}

/// A process to run in a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    argv: Vec<Bytes>,
    environment: Vec<(Bytes, Option<Bytes>)>,
    working_directory: Bytes,
    user: String,
    pub(crate) terminal: TerminalChoice,
    /// Leave a session on a terminal.
    pub(crate) escape_keys: EscapeKeys,
    /// Gives the process our stdin.
    pub(crate) has_stdin: bool,
    /// `-i` was typed.
    is_interactive: bool,
    /// Without arguments it is the image's command, where the image has one, and not a shell.
    may_be_images_command: bool,
}

/// Whether the process gets a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TerminalChoice {
    /// When stdin and stdout are terminals.
    Auto,
    Always,
    Never,
}

impl RunPlan {
    pub(crate) fn of(args: RunArgs) -> Result<Self, PlanError> {
        let mut sizing = args.sizing;
        let as_command = as_command(&args.words, args.is_behind_dashes);
        let (word, command) = split(args.words, args.is_behind_dashes);
        if let Some(word) = word {
            let source = first_word(&word)?;
            if sizing.image.is_some() {
                return Err(PlanError::TwoImages(source));
            }
            sizing.image = Some(source);
        }
        let mut create = sizing.into_request(false);
        if args.entrypoint.as_ref().is_some_and(|program| program.is_empty()) && command.is_empty() {
            return Err(PlanError::NoEntrypoint);
        }
        // A command that is given runs without the image's entry point anyway.
        let entrypoint = args.entrypoint.filter(|program| !program.is_empty());
        let command = entrypoint.into_iter().chain(command).collect();
        let process = Process { may_be_images_command: true, ..Process::of(command, args.process)? };
        if args.rm && create.idempotency_key.is_some() {
            return Err(PlanError::SharedRemove);
        }
        if !args.detach {
            create.command_follows = true;
            let after = if args.rm { After::Delete } else { After::Keep };
            return Ok(Self { create, then: Then::Enter { process, after }, as_command });
        }
        if args.rm {
            return Err(PlanError::DetachedRemove);
        }
        if process.argv.is_empty() {
            return Ok(Self { create, then: Then::Detach(process), as_command });
        }
        create.command_follows = true;
        Ok(Self { create, then: Then::Detach(process), as_command })
    }
}

/// Divides the words of `vm run` into the first one, where it does not stand behind `--`, and the command.
fn split(words: Vec<OsString>, is_behind_dashes: bool) -> (Option<OsString>, Vec<OsString>) {
    let mut words = words.into_iter().peekable();
    if is_behind_dashes {
        return (None, words.collect());
    }
    let first = words.next();
    words.next_if(|word| word == "--");
    (first, words.collect())
}

/// Returns the line that takes the words as a command, where the first one is taken for an image.
fn as_command(words: &[OsString], is_behind_dashes: bool) -> Option<String> {
    let first = words.first().filter(|_| !is_behind_dashes)?;
    Some(match shell_words::plain(words) {
        Some(words) => format!("banger run -- {}", words.join(" ")),
        None => format!("banger run -- {} …", first.to_string_lossy()),
    })
}

/// Decides what the first word of `vm run` means that is not an option and not after `--`: an image. It is the only place
/// of this decision.
fn first_word(word: &OsStr) -> Result<String, PlanError> {
    let text = word.to_string_lossy().into_owned();
    match text.starts_with(['.', '/', '~']) {
        true if is_archive_name(&text) => Err(PlanError::FirstArchive(text)),
        true => Err(PlanError::FirstPath(text)),
        false => Ok(text),
    }
}

/// What `vm exec` does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExecPlan {
    Attached(Process),
    Detached(Process),
}

impl ExecPlan {
    pub(crate) fn of(detach: bool, args: ExecArgs) -> Result<Self, PlanError> {
        let process = Process::of(args.command, args.process)?;
        match (detach, process.argv.is_empty()) {
            (true, true) => Err(PlanError::DetachedShell),
            (true, false) => Ok(Self::Detached(process)),
            (false, _) => Ok(Self::Attached(process)),
        }
    }
}

impl Process {
    fn of(command: Vec<OsString>, args: ProcessArgs) -> Result<Self, PlanError> {
        let terminal = match (args.tty, args.no_tty || args.no_stdin) {
            (true, _) => TerminalChoice::Always,
            (false, true) => TerminalChoice::Never,
            (false, false) => TerminalChoice::Auto,
        };
        let directory = args.workdir.unwrap_or_default();
        if !directory.is_empty() && !directory.as_bytes().starts_with(b"/") {
            return Err(PlanError::RelativeDirectory(directory.to_string_lossy().into_owned()));
        }
        Ok(Self {
            argv: command.into_iter().map(into_bytes).collect(),
            environment: args.environment.iter().map(|text| variable(text)).collect::<Result<_, _>>()?,
            working_directory: into_bytes(directory),
            user: args.user.unwrap_or_default(),
            terminal,
            escape_keys: args.escape_keys.unwrap_or_default(),
            has_stdin: !args.no_stdin,
            is_interactive: args.interactive,
            may_be_images_command: false,
        })
    }

    /// Tells whether only the image can say what it runs.
    pub(crate) fn needs_images_command(&self) -> bool {
        self.argv.is_empty()
    }

    /// Tells whether it is to read what is typed: `-it`, as docker has it, or `-t` for a shell. `-t` with a command alone
    /// may be there for its output only.
    pub(crate) fn reads_a_terminal(&self) -> bool {
        self.terminal == TerminalChoice::Always && (self.is_interactive || self.argv.is_empty())
    }

    /// Tells whether something was said about a command.
    pub(crate) fn has_settings(&self) -> bool {
        !self.environment.is_empty() || !self.working_directory.is_empty() || !self.user.is_empty()
    }

    /// What `ssh` would run, for a guest without a server: root's shell, or words that the shell is given as one line.
    pub(crate) fn in_place_of_ssh(words: &[OsString]) -> Self {
        let line = words.join(OsStr::new(" "));
        let argv = if words.is_empty() { Vec::new() } else { vec!["/bin/sh".into(), "-c".into(), line] };
        Self {
            argv: argv.into_iter().map(into_bytes).collect(),
            environment: Vec::new(),
            working_directory: Bytes::new(),
            user: "root".to_owned(),
            terminal: if words.is_empty() { TerminalChoice::Auto } else { TerminalChoice::Never },
            escape_keys: EscapeKeys::default(),
            has_stdin: true,
            is_interactive: false,
            may_be_images_command: false,
        }
    }

    /// Returns the message that starts it. `ours` reads a variable of our own environment.
    pub(crate) fn start(
        &self,
        terminal: Option<WindowSize>,
        detached: bool,
        ours: impl Fn(&OsStr) -> Option<OsString> + Copy,
    ) -> ExecStart {
        let mut environment = Vec::new();
        let is_set = |name: &[u8]| self.environment.iter().any(|(set, _)| set == name);
        if terminal.is_some() && !is_set(b"TERM") {
            // The terminal is ours, so the guest's programs must know what it understands.
            environment.extend(ours(OsStr::new("TERM")).map(|value| (Bytes::from_static(b"TERM"), value)));
        }
        let terminal_may_fall_back = !environment.is_empty();
        for (name, value) in &self.environment {
            let value = value.as_ref().map(|value| OsString::from_vec(value.to_vec()));
            environment
                .extend(value.or_else(|| ours(OsStr::from_bytes(name))).map(|value| (name.clone(), value)));
        }
        ExecStart {
            argv: self.argv.clone(),
            environment: environment
                .into_iter()
                .map(|(name, value)| EnvironmentVariable { name, value: into_bytes(value) })
                .collect(),
            working_directory: self.working_directory.clone(),
            user: self.user.clone(),
            terminal,
            detached,
            log_path: Bytes::new(),
            image_command: self.may_be_images_command && self.argv.is_empty(),
            terminal_may_fall_back,
            locale: locale(ours),
            // `vm run -d`: not one of several commands in a VM, but what it is there for.
            kept: detached && self.may_be_images_command,
        }
    }
}

/// Variables of a language (`locale(7)`).
const LOCALE: [&str; 14] = [
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_NUMERIC",
    "LC_TIME",
    "LC_COLLATE",
    "LC_MONETARY",
    "LC_MESSAGES",
    "LC_PAPER",
    "LC_NAME",
    "LC_ADDRESS",
    "LC_TELEPHONE",
    "LC_MEASUREMENT",
    "LC_IDENTIFICATION",
];

/// Returns our language, which the guest takes where it has it.
pub(crate) fn locale(ours: impl Fn(&OsStr) -> Option<OsString>) -> Vec<EnvironmentVariable> {
    let variable = |name: &&'static str| {
        let value = ours(OsStr::new(name)).filter(|value| !value.is_empty())?;
        Some(EnvironmentVariable { name: Bytes::from_static(name.as_bytes()), value: into_bytes(value) })
    };
    LOCALE.iter().filter_map(variable).collect()
}

/// Tells whether a guest's word is a variable of a language with nothing but a name of one in it.
pub(crate) fn is_locale(variable: &EnvironmentVariable) -> bool {
    let is_value = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@' | b'-');
    LOCALE.iter().any(|name| name.as_bytes() == variable.name)
        && (1..=64).contains(&variable.value.len())
        && variable.value.iter().all(is_value)
}

fn into_bytes(text: OsString) -> Bytes {
    Bytes::from(text.into_vec())
}

fn variable(text: &OsStr) -> Result<(Bytes, Option<Bytes>), PlanError> {
    let bytes = text.as_bytes();
    let mut parts = bytes.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default();
    if name.is_empty() {
        return Err(PlanError::NoVariable(text.to_owned()));
    }
    Ok((Bytes::copy_from_slice(name), parts.next().map(Bytes::copy_from_slice)))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
