//! The interactive shell, on a real terminal.

use std::os::fd::AsFd as _;

use banger_agent_proto::exec_request::Request as Input;
use pty_process::{Pty, Size};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use crate::agent::ExecCall;
use crate::daemon::DEADLINE;
use crate::program::Stage;

struct Terminal {
    pty: Pty,
    child: Child,
}

impl Terminal {
    fn start(stage: &Stage, arguments: &[&str]) -> Self {
        Self::start_with(stage, arguments, "")
    }

    fn start_with(stage: &Stage, arguments: &[&str], no_color: &str) -> Self {
        let (pty, side) = pty_process::open().unwrap();
        pty.resize(Size::new(33, 101)).unwrap();
        let child = pty_process::Command::new(env!("CARGO_BIN_EXE_banger"))
            .args(arguments)
            .env("BANGER_HOME", stage.home.path())
            .env("TERM", "xterm")
            .env("NO_COLOR", no_color)
            .kill_on_drop(true)
            .spawn(side)
            .unwrap();
        Self { pty, child }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(self.pty.as_fd()).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Reads up to this text and returns everything before its end.
    async fn read_to(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let read = async {
            while !seen.ends_with(text.as_bytes()) {
                seen.push(self.pty.read_u8().await.unwrap());
            }
        };
        let ended = tokio::time::timeout(DEADLINE, read).await;
        let seen = String::from_utf8_lossy(&seen).into_owned();
        assert!(ended.is_ok(), "no {text:?} in {seen:?}");
        seen
    }

    /// Everything up to the end of the program, and its exit status.
    async fn finish(mut self) -> (String, Option<i32>, bool) {
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        // A terminal without programs reads as an error.
        while let Ok(Ok(count)) = tokio::time::timeout(DEADLINE, self.pty.read(&mut buffer)).await {
            seen.extend_from_slice(&buffer[..count]);
        }
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap();
        (String::from_utf8_lossy(&seen).into_owned(), status.code(), self.is_raw())
    }
}

async fn typed(call: &mut ExecCall, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        match call.next().await {
            Some(Input::Stdin(bytes)) => all.extend_from_slice(&bytes),
            Some(_) => {}
            None => panic!("the session ended"),
        }
    }
    all
}

#[tokio::test]
async fn a_bare_run_is_an_interactive_shell() {
    let mut stage = Stage::new();
    let mut terminal = Terminal::start(&stage, &["vm", "run", "--name", "dev"]);
    let mut call = stage.daemon.exec().await;
    assert_eq!(call.argv(), Vec::<&str>::new());
    let size = call.start.terminal.unwrap();
    assert_eq!((size.columns, size.rows), (101, 33));
    assert_eq!(call.start.environment[0].value, "xterm");
    call.started().await;
    call.stdout("# ").await;
    terminal.read_to("# ").await;
    assert!(terminal.is_raw());

    terminal.pty.write_all(b"ls\r\x03\x04\x1c").await.unwrap();
    assert_eq!(typed(&mut call, 6).await, b"ls\r\x03\x04\x1c");

    terminal.pty.resize(Size::new(40, 120)).unwrap();
    loop {
        if let Some(Input::Resize(size)) = call.next().await {
            assert_eq!((size.columns, size.rows), (120, 40));
            break;
        }
    }
    call.exited(5).await;
    let (seen, status, is_raw) = terminal.finish().await;
    assert!(seen.contains("VM `dev` is still running; `banger stop dev` stops it"), "{seen:?}");
    assert_eq!((status, is_raw), (Some(5), false));
}

#[tokio::test]
async fn the_terminal_is_given_back_when_the_daemon_dies() {
    let mut stage = Stage::new();
    let mut terminal = Terminal::start(&stage, &["vm", "run", "--name", "dev"]);
    let call = stage.daemon.exec().await;
    call.started().await;
    call.stdout("# ").await;
    terminal.read_to("# ").await;
    stage.daemon.cut_channels();
    let (seen, status, is_raw) = terminal.finish().await;
    assert!(
        seen.contains("was lost because its agent or the daemon restarted; the command was ended"),
        "{seen:?}"
    );
    assert_eq!((status, is_raw), (Some(1), false));
    drop(call);
}

#[tokio::test]
async fn the_terminal_is_given_back_after_a_signal_and_rm_deletes() {
    let mut stage = Stage::new();
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let mut terminal = Terminal::start(&stage, &["vm", "run", "--rm"]);
        let call = stage.daemon.exec().await;
        call.started().await;
        call.stdout("# ").await;
        terminal.read_to("# ").await;
        let pid = Pid::from_raw(terminal.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        call.gone().await;
        drop(call);
        let (seen, told, is_raw) = terminal.finish().await;
        assert_eq!((told, is_raw), (Some(status), false), "{seen:?}");
        assert_eq!(stage.daemon.vms(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn stages_are_live_on_a_terminal_and_colour_can_be_refused() {
    let stage = Stage::new();
    let mut terminal = Terminal::start(&stage, &["vm", "create", "--name", "dev"]);
    terminal.read_to("ready in").await;
    let (seen, status, _) = terminal.finish().await;
    assert!(seen.ends_with("dev\r\n"), "{seen:?}");
    assert_eq!(status, Some(0));

    let terminal = Terminal::start(&stage, &["vm", "show", "nope"]);
    assert!(terminal.finish().await.0.contains("\u{1b}[31mbanger:\u{1b}[0m there is no such VM"));
    let terminal = Terminal::start_with(&stage, &["vm", "show", "nope"], "1");
    assert_eq!(terminal.finish().await.0, "banger: there is no such VM\r\n");
}

const EDITOR: &str = "\u{1b}[?1049h\u{1b}[?1h\u{1b}=\u{1b}[?1000h\u{1b}[?2004h\u{1b}[?25l\u{1b}[1;31m~";
const EDITOR_UNDONE: &str = "\u{1b}[?1l\u{1b}[?1000l\u{1b}[?2004l\u{1b}>\u{1b}[0m\u{1b}[?1049l\u{1b}[?25h";

#[tokio::test]
async fn the_terminal_is_put_right_when_the_machine_dies_under_an_editor() {
    let mut stage = Stage::new();
    for way in ["machine", "signal", "escape", "killed"] {
        let mut terminal = Terminal::start(&stage, &["vm", "run", "--name", "dev"]);
        let call = stage.daemon.exec().await;
        call.started().await;
        call.stdout(EDITOR).await;
        terminal.read_to("[1;31m~").await;
        match way {
            "machine" => stage.daemon.cut_channels(),
            "signal" => {
                let pid = Pid::from_raw(terminal.child.id().unwrap().try_into().unwrap()).unwrap();
                kill_process(pid, Signal::TERM).unwrap();
            }
            "killed" => call.killed(9).await,
            _ => terminal.pty.write_all(b"x\r~.").await.unwrap(),
        }
        let (seen, _, is_raw) = terminal.finish().await;
        assert!(seen.starts_with(EDITOR_UNDONE), "{way}: {seen:?}");
        assert!(!is_raw, "{way}");
        stage.daemon.script(|script| script.vms.clear());
    }
}

#[tokio::test]
async fn what_a_command_leaves_when_it_ends_by_itself_is_its_own() {
    let mut stage = Stage::new();
    let mut terminal = Terminal::start(&stage, &["vm", "run", "--rm"]);
    let call = stage.daemon.exec().await;
    call.started().await;
    call.stdout("\u{1b}[31mred>").await;
    terminal.read_to("red>").await;
    call.exited(0).await;
    let (seen, status, _) = terminal.finish().await;
    assert_eq!((seen.as_str(), status), ("", Some(0)));
}

#[tokio::test]
async fn a_message_begins_a_line_when_the_session_broke_within_one() {
    let mut stage = Stage::new();
    let mut terminal = Terminal::start(&stage, &["vm", "run", "--rm"]);
    let call = stage.daemon.exec().await;
    call.started().await;
    call.stdout("# sleep 10").await;
    terminal.read_to("sleep 10").await;
    stage.daemon.cut_channels();
    let (seen, ..) = terminal.finish().await;
    assert!(seen.starts_with("\r\n\u{1b}[31mbanger:"), "{seen:?}");
}

#[tokio::test]
async fn escape_keys_leave_a_guest_that_takes_nothing() {
    let mut stage = Stage::new();
    for (keys, escape, status) in
        [(&[][..], &b"\r~."[..], 255), (&["--escape-keys", "ctrl-p,ctrl-q"], b"\x10\x11", 255)]
    {
        let mut terminal = Terminal::start(&stage, &[&["vm", "run", "--rm"], keys].concat());
        // The call is never read: the guest hangs, with more typed into it than it takes.
        let call = stage.daemon.exec().await;
        call.started().await;
        call.stdout("# ").await;
        terminal.read_to("# ").await;
        for _ in 0..64 {
            terminal.pty.write_all(&[b'x'; 2048]).await.unwrap();
        }
        terminal.pty.write_all(escape).await.unwrap();
        call.gone().await;
        drop(call);
        let (seen, told, is_raw) = terminal.finish().await;
        assert_eq!((told, is_raw), (Some(status), false), "{seen:?}");
        assert!(seen.contains("closed the session in VM `"), "{seen:?}");
    }
}

#[tokio::test]
async fn escape_keys_help_are_typed_twice_and_can_be_switched_off() {
    let mut stage = Stage::new();
    let mut terminal = Terminal::start(&stage, &["vm", "run", "--rm"]);
    let mut call = stage.daemon.exec().await;
    call.started().await;
    terminal.pty.write_all(b"~?").await.unwrap();
    terminal.read_to("this text\r\n").await;
    terminal.pty.write_all(b"~~.\r").await.unwrap();
    assert_eq!(typed(&mut call, 3).await, b"~.\r");
    call.exited(0).await;
    terminal.finish().await;

    let mut terminal = Terminal::start(&stage, &["vm", "run", "--rm", "--escape-keys", "none"]);
    let mut call = stage.daemon.exec().await;
    call.started().await;
    call.stdout("# ").await;
    terminal.read_to("# ").await;
    terminal.pty.write_all(b"~.~?\r~.").await.unwrap();
    assert_eq!(typed(&mut call, 7).await, b"~.~?\r~.");
    call.exited(3).await;
    assert_eq!(terminal.finish().await.1, Some(3));
}
