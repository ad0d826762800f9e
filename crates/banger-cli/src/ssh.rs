//! `vm ssh` and `proxy`: the host's ssh through the daemon's door to the guest, so that it needs no route, and trusts
//! the host key that the daemon gave the VM and no other.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use banger_agent_proto::{EnvironmentVariable, STREAM_PORT};
use banger_api::{ChannelQuery, SshAccess, VmView, route};
use banger_client::{CONNECT_DEADLINE, Client, SshFiles};
use banger_model::NameError;
use banger_sys::files::FileError;
use banger_sys::host::find_program;
use banger_sys::paths::Paths;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::absence;
use crate::args::shared::parse_vm;
use crate::ensure::ensure;
use crate::error::{CliError, Kind};
use crate::exec::find;
use crate::plan::{Process, is_locale};
use crate::session;
use crate::signals::Signals;
use crate::stdio::{Input, Output, Piece};

/// Port that a guest's sshd listens on; the agent starts one for the stream itself.
const SSH_PORT: u16 = 22;
/// Longest answer to the opening line.
const ANSWER_BYTES_MAX: usize = 1024;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// Why a guest cannot be entered by ssh.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    #[error("the program `ssh` is not installed")]
    Missing,
    #[error("cannot run `ssh`")]
    Run(#[source] io::Error),
    #[error("cannot prepare the keys for `ssh`")]
    Files(#[source] FileError),
    #[error("VM `{vm}` has no ssh server, so ssh options cannot be used")]
    NoServer { vm: String },
    #[error("VM `{vm}` has no ssh server, so `{option}` cannot forward its ports")]
    NoForwarding { vm: String, option: String },
    #[error("the guest cannot connect to {target}: {answer}")]
    Refused { target: String, answer: String },
    #[error(transparent)]
    Host(NameError),
    #[error("the connection to the guest was lost")]
    Stream(#[source] io::Error),
}

impl From<SshError> for CliError {
    fn from(error: SshError) -> Self {
        let (kind, hint) = match &error {
            SshError::Missing => (Kind::Failed, Some("sudo apt-get install openssh-client".to_owned())),
            SshError::NoServer { vm } => (Kind::Failed, Some(format!("banger vm exec {vm} -- <command>"))),
            SshError::NoForwarding { vm, .. } => {
                let hint = format!(
                    "use an image with an ssh server; `banger proxy {vm} <port>` connects stdin and stdout to one port"
                );
                (Kind::Failed, Some(hint))
            }
            SshError::Stream(error) if error.kind() == io::ErrorKind::TimedOut => (Kind::Silent, None),
            SshError::Stream(_) => (Kind::Lost, None),
            SshError::Files(_) | SshError::Run(_) | SshError::Refused { .. } | SshError::Host(_) => {
                (Kind::Failed, None)
            }
        };
        Self::new(kind, error).with_hint(hint)
    }
}

/// Becomes ssh; returns only when that fails, or when the guest has no ssh server: then the agent lets us in.
pub(crate) async fn ssh(paths: &Paths, typed: &str, arguments: &[OsString]) -> Result<u8, CliError> {
    let client = ensure(paths).await?;
    let vm = find(&client, typed).await?;
    let guest = session::ask_for_ssh(&client, &vm).await?;
    // An agent that does not say is older than images without a server.
    if guest.has_ssh_server == Some(false) {
        return enter_without_ssh(&client, &vm, arguments).await;
    }
    let access: SshAccess = client.get(route::SHOW_VM_SSH.of(&vm.id)).await?;
    let files = SshFiles::write(paths, &vm.id, access).map_err(SshError::Files)?;
    let program = find_program("ssh").ok_or(SshError::Missing)?;
    let ours = std::env::current_exe().map_err(SshError::Run)?;
    let mut command = Command::new(program);
    command.args(ssh_arguments(&ours, &files, &vm, &guest.locale, arguments));
    if is_terminal_type(&guest.terminal_type) {
        command.env("TERM", OsStr::from_bytes(&guest.terminal_type));
    }
    Err(SshError::Run(command.exec()).into())
}

async fn enter_without_ssh(client: &Client, vm: &VmView, words: &[OsString]) -> Result<u8, CliError> {
    let vm_name = || vm.name.to_string();
    if let Some(option) = forwarding(words) {
        return Err(SshError::NoForwarding { vm: vm_name(), option }.into());
    }
    if words.first().is_some_and(|word| word.as_encoded_bytes().starts_with(b"-")) {
        return Err(SshError::NoServer { vm: vm_name() }.into());
    }
    let mut signals = Signals::listen()?;
    session::attach(client, vm, &Process::in_place_of_ssh(words), &mut signals).await
}

/// Returns the first option of ssh that forwards ports, before the command. Source: `ssh(1)`.
fn forwarding(words: &[OsString]) -> Option<String> {
    let first = words.first().filter(|word| word.as_encoded_bytes().starts_with(b"-"))?;
    let options = std::iter::once(first).chain(words.iter().skip(1));
    let forwards = |word: &OsString| match word.as_encoded_bytes() {
        [b'-', flags @ ..] => flags.iter().copied().find(|flag| b"LRDW".contains(flag)),
        _ => None,
    };
    let flag = options.take_while(|word| *word != "--").find_map(forwards)?;
    Some(format!("-{}", char::from(flag)))
}

/// A guest's word, fit for a variable.
fn is_terminal_type(name: &[u8]) -> bool {
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_');
    (1..=64).contains(&name.len()) && name.iter().all(is_fit)
}

fn ssh_arguments(
    ours: &Path,
    files: &SshFiles,
    vm: &VmView,
    locale: &[EnvironmentVariable],
    arguments: &[OsString],
) -> Vec<OsString> {
    // The user's own configuration stays outside: a `ForwardAgent yes` for all hosts would hand the agent to the guest.
    let mut list: Vec<OsString> = ["-F", "none"].map(OsString::from).to_vec();
    let mut option = |text: String| list.extend(["-o".into(), OsString::from(text)]);
    option(format!("ProxyCommand={} proxy %h %p", shell_word(&ours.to_string_lossy()).replace('%', "%%")));
    option(format!("UserKnownHostsFile={}", quoted(&files.known_hosts.to_string_lossy())));
    option("GlobalKnownHostsFile=/dev/null".to_owned());
    option("StrictHostKeyChecking=yes".to_owned());
    option(format!("HostKeyAlias={}", files.host_key_alias));
    option("IdentitiesOnly=yes".to_owned());
    let locale = locale.iter().filter(|variable| is_locale(variable));
    let locale: Vec<_> = locale.map(|v| [&v.name[..], &b"="[..], &v.value[..]].concat()).collect();
    if !locale.is_empty() {
        // Clients before OpenSSH 7.8 do not know it, and go on without it.
        option("IgnoreUnknown=SetEnv".to_owned());
        option(format!("SetEnv={}", String::from_utf8_lossy(&locale.join(&b' '))));
    }
    list.extend(["-i".into(), files.identity.clone().into_os_string(), "-l".into(), "root".into()]);
    list.push(format!("{}.vm", vm.name).into());
    list.extend(arguments.iter().cloned());
    list
}

/// Makes a text one word of the shell that ssh runs its proxy with.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Makes a path one word of an option of ssh, without its `%` tokens.
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('%', "%%"))
}

/// Connects stdin and stdout to a port of a VM.
pub(crate) async fn proxy(paths: &Paths, host: &str, port: u16) -> Result<(), CliError> {
    let typed = parse_vm(host.strip_suffix(".vm").unwrap_or(host)).map_err(SshError::Host)?;
    let client = ensure(paths).await?;
    let vm = find(&client, &typed).await?;
    let stream = match open(&client, &vm, port).await {
        Ok(stream) => stream,
        Err(error) => return Err(absence::explain(&client, &vm, error).await),
    };
    tokio::select! {
        spliced = splice(stream) => spliced,
        never = absence::tell(&client, &vm) => match never {},
    }
}

async fn open(
    client: &Client,
    vm: &VmView,
    port: u16,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, CliError> {
    let target = if port == SSH_PORT { "ssh".to_owned() } else { format!("tcp 127.0.0.1:{port}") };
    let path = route::OPEN_VM_CHANNEL.of(&vm.id).asking(&ChannelQuery { port: STREAM_PORT });
    let mut stream = client.upgrade(&path, CONNECT_DEADLINE).await?;
    let greet = async {
        stream.write_all(format!("{target}\n").as_bytes()).await?;
        stream.flush().await?;
        read_line(&mut stream).await
    };
    let answer = match tokio::time::timeout(CONNECT_DEADLINE, greet).await {
        Ok(answer) => answer.map_err(SshError::Stream)?,
        Err(elapsed) => return Err(SshError::Stream(elapsed.into()).into()),
    };
    if answer == "OK" {
        return Ok(stream);
    }
    let answer = answer.strip_prefix("ERR ").unwrap_or("it gave no answer").to_owned();
    Err(SshError::Refused { target, answer }.into())
}

/// Reads one line byte by byte: what comes after it is not ours.
async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut line = Vec::new();
    while line.len() < ANSWER_BYTES_MAX {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Ends when the guest has nothing more to say.
async fn splice(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), CliError> {
    let (mut from_guest, mut to_guest) = tokio::io::split(stream);
    let mut stdin = Input::open().map_err(SshError::Stream)?;
    let output = Output::open().map_err(SshError::Stream)?;
    let sender = output.sender();
    let up = async {
        while let Some(bytes) = stdin.next().await {
            to_guest.write_all(&bytes).await?;
            to_guest.flush().await?;
        }
        to_guest.shutdown().await?;
        std::future::pending::<std::io::Result<()>>().await
    };
    let down = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = from_guest.read(&mut buffer).await?;
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if count == 0 || sender.write(Piece::Stdout(bytes)).await.is_err() {
                return Ok(());
            }
        }
    };
    let carried = tokio::select! {
        result = up => result,
        result = down => result,
    };
    drop(sender);
    output.finish().await.map_err(CliError::output)?;
    Ok(carried.map_err(SshError::Stream)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_forward_ports_are_known() {
        let told = |words: &[&str]| forwarding(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(told(&["-L", "8080:localhost:80"]).as_deref(), Some("-L"));
        assert_eq!(told(&["-v", "-NR8080:localhost:80"]).as_deref(), Some("-R"));
        assert_eq!(told(&["-v", "--", "-L"]), None);
        assert_eq!(told(&["grep", "-L", "x"]), None, "a command");
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn ssh_gets_a_list_of_arguments_with_our_keys_only() {
        let files = SshFiles {
            identity: "/h/state/ssh/id_ed25519".into(),
            known_hosts: "/h/my state/100%/known_hosts".into(),
            host_key_alias: "0123456789abcdef".into(),
        };
        let vm = serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdef", "name": "dev", "state": "running", "image": "i", "kernel": "k", "vcpus": 1,
            "memory_mib": 512, "disk_bytes": 1 << 30, "created_at": ""
        }))
        .unwrap();
        let extra = ["uname".into(), "-a b".into()];
        let variable = |name: &'static str, value: &'static str| EnvironmentVariable {
            name: name.into(),
            value: value.into(),
        };
        // The last two are words of a guest that wants more.
        let locale = [
            variable("LANG", "C.UTF-8"),
            variable("LC_TIME", "de_DE.UTF-8"),
            variable("LC_ALL", "x ProxyCommand=evil"),
            variable("LD_PRELOAD", "x"),
        ];
        let list = ssh_arguments(Path::new("/opt/it's %/banger"), &files, &vm, &locale, &extra);
        let lines: Vec<_> = list.iter().map(|word| word.to_string_lossy()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        -F
        none
        -o
        ProxyCommand='/opt/it'\''s %%/banger' proxy %h %p
        -o
        UserKnownHostsFile="/h/my state/100%%/known_hosts"
        -o
        GlobalKnownHostsFile=/dev/null
        -o
        StrictHostKeyChecking=yes
        -o
        HostKeyAlias=0123456789abcdef
        -o
        IdentitiesOnly=yes
        -o
        IgnoreUnknown=SetEnv
        -o
        SetEnv=LANG=C.UTF-8 LC_TIME=de_DE.UTF-8
        -i
        /h/state/ssh/id_ed25519
        -l
        root
        dev.vm
        uname
        -a b
        "#);
    }
}
