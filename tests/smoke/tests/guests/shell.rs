//! An interactive shell behaves like one.

use banger_smoke::harness::Scenario;
use banger_smoke::{Home, Terminal};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure("bare_run", 4, "`vm run` is a shell that behaves as a shell does", bare_run),
    Scenario::pure(
        "session",
        6,
        "a session has a locale, a terminal type that its guest knows, and keys to leave it",
        session,
    ),
];

fn bare_run() {
    let home = Home::ready();
    let mut terminal = Terminal::start(home.banger(&["vm", "run", "--rm", "--name", "sh"]), 97, 31);
    // Each answer is spelt so that the echo of the typed line cannot be mistaken for it, and each line is typed at a prompt,
    // because the guest decides what becomes of lines that are typed ahead.
    let at_prompt = |terminal: &mut Terminal, line: &str| {
        terminal.wait_for("# ");
        terminal.type_keys(line);
        terminal.type_keys("\r");
    };
    at_prompt(&mut terminal, "echo size=$(stty size)");
    terminal.wait_for("size=31 97");
    terminal.wait_for("# ");
    terminal.resize(120, 40);
    terminal.type_keys("until [ \"$(stty size)\" = '40 120' ]; do :; done; echo re\"\"sized\r");
    terminal.wait_for("resized");
    // Ctrl-C ends the command, not the shell.
    at_prompt(&mut terminal, "sh -c 'echo r$((1))eady; read line; echo got $line; exec sleep 1000'");
    terminal.wait_for("r1eady");
    terminal.type_keys("something\r");
    terminal.wait_for("got something");
    terminal.type_keys("\x03");
    at_prompt(&mut terminal, "echo status=$?");
    terminal.wait_for("status=130");
    at_prompt(&mut terminal, "tty; exit 3");
    terminal.wait_for("/dev/pts/");
    assert_eq!(terminal.wait(), 3);
    home.assert_nothing_left();
}

fn session() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let strange = |arguments: &[&str]| {
        let banger = home.banger(arguments).env("TERM", "xterm-kitty").env("LANG", "xx_XX.UTF-8");
        banger.env("LC_ALL", "").run().stdout
    };
    let told = strange(&["vm", "exec", "-t", "dev", "--", "sh", "-c", "echo $TERM $LANG; locale charmap"]);
    assert_eq!(told, "xterm-256color C.UTF-8\r\nUTF-8\r\n");
    assert_eq!(strange(&["vm", "ssh", "dev", "--", "echo $LANG"]), "C.UTF-8\n");

    let machine = Pid::from_raw(i32::try_from(home.show("dev")["pid"].as_i64().unwrap()).unwrap()).unwrap();
    let enter = || {
        let mut terminal = Terminal::start(home.banger(&["vm", "exec", "dev"]), 80, 24);
        terminal.wait_for("# ");
        terminal
    };
    // Two keys leave a guest that hangs.
    let mut terminal = enter();
    kill_process(machine, Signal::STOP).unwrap();
    terminal.type_keys("\r~.");
    terminal.wait_for("closed the session in VM `dev`");
    assert_eq!(terminal.wait(), 255);
    kill_process(machine, Signal::CONT).unwrap();
    // A machine that dies while an editor runs leaves the terminal in order.
    let mut terminal = enter();
    terminal.type_keys("printf '\\033[?1049h\\033[?1000h\\033[?25led''itor'; sleep 1000\r");
    terminal.wait_for("editor");
    kill_process(machine, Signal::KILL).unwrap();
    for undone in ["\x1b[?1000l", "\x1b[?1049l", "\x1b[?25h"] {
        terminal.wait_for(undone);
    }
    assert_eq!(terminal.wait(), 1);
    let _ = home.text(&["vm", "delete", "-q", "dev"]);
    home.assert_nothing_left();
}
