use banger_api::ErrorCode;
use banger_model::Hint;

use super::*;

#[test]
fn an_error_of_the_daemon_shows_console_operation_and_hint() {
    let body = ErrorBody {
        code: ErrorCode::OperationFailed,
        message: "the guest of `dev` did not say hello within 60 s".into(),
        hint: Some(Hint::ReadVmLog { vm: "dev".into() }),
        op_id: Some("op-12ab".into()),
        console: vec!["Kernel panic \u{1b}[31m- not syncing".into(), "---[ end ]---".into()],
    };
    let error = CliError::from(ClientError::Refused(Box::new(body)));
    insta::assert_snapshot!(error.draw(None, Colour::Off), @r"
    banger: the guest of `dev` did not say hello within 60 s (op-12ab)
        Kernel panic - not syncing
        ---[ end ]---
    hint: banger vm logs dev
    ");
    let coloured = error.draw(Some("dev"), Colour::On);
    assert!(coloured.as_str().starts_with("\u{1b}[31mbanger:\u{1b}[0m dev: the guest"), "{coloured:?}");
    assert!(coloured.as_str().contains("\u{1b}[2m(op-12ab)\u{1b}[0m"), "{coloured:?}");
}

#[test]
fn causes_are_told_once() {
    let error = OutputError(io::Error::other("no such device"));
    assert_eq!(chain(&CliError::failed(error)), "cannot write to stdout: no such device");
    let inner = CliError::failed(OutputError(io::Error::other("cannot write to stdout")));
    assert_eq!(chain(&inner), "cannot write to stdout");
}

#[test]
fn after_a_signal_the_exit_status_stays_its_own() {
    let stopped = CliError::new(Kind::Interrupted(130), "stopped waiting");
    assert_eq!(stopped.told_already().exit_status(), 130);
    assert_eq!(CliError::new(Kind::Usage, "bad").told_already().exit_status(), 1);
    assert_eq!(CliError::new(Kind::Command(127), "not found").exit_status(), 127);
}

#[test]
fn nobody_is_told_about_a_closed_output() {
    let error = CliError::output(io::ErrorKind::BrokenPipe.into());
    assert_eq!((error.draw(None, Colour::Off).as_str(), error.exit_status()), ("", 141));
}

#[test]
fn every_error_is_told_in_lines_that_command_no_terminal() {
    const FOUL: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\nbanger: all is well";
    let foul = || FOUL.to_owned();
    let io = || io::Error::other(FOUL);
    let body = || ErrorBody {
        code: ErrorCode::OperationFailed,
        message: foul(),
        hint: Some(Hint::advice(foul())),
        op_id: Some(foul()),
        console: vec![foul()],
    };
    let refused = || AgentError::Refused { call: "exec", message: foul() };
    let mismatch = AgentError::VersionMismatch {
        host_version: foul(),
        ours: vec![1],
        agent_version: foul(),
        theirs: Vec::new(),
    };
    let errors = [
        CliError::refused(body()),
        CliError::refused(body()).without_hint(),
        CliError::from(refused()),
        CliError::from(mismatch),
        CliError::failed(OutputError(io())),
        CliError::failed(foul()).with_hint(foul()),
        CliError::failed(CliError::from(refused())),
        CliError::new(Kind::Command(1), foul()),
    ];
    for error in errors {
        for about in [None, Some(FOUL)] {
            let text = error.draw(about, Colour::Off).to_string();
            assert!(!text.contains(|c| c != '\n' && crate::foreign::is_foul(c)), "{error:?}: {text:?}");
            let own = text.lines().filter(|line| line.starts_with("banger:") || line.starts_with("hint:"));
            assert!(own.count() <= 2 && text.matches("\nbanger:").count() == 0, "{error:?}: {text}");
        }
    }
}
