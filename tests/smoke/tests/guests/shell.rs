//! An interactive shell behaves like one.

use banger_smoke::harness::Scenario;
use banger_smoke::{Home, Terminal};

pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::pure("bare_run", 4, "`vm run` is a shell that behaves as a shell does", bare_run)];

fn bare_run() {
    let home = Home::ready();
    let mut terminal = Terminal::start(home.banger(&["vm", "run", "--rm", "--name", "sh"]), 97, 31);
    // Each answer is spelt so that the echo of the typed line cannot be taken for it, and each line is typed at a
    // prompt: what a person types ahead is the guest's own affair.
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
