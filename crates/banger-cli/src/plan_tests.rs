use proptest::prelude::*;

use super::*;
use crate::args::vm::VmCommand;
use crate::args::{self, Command};

fn run_plan(arguments: &[&str]) -> Result<RunPlan, PlanError> {
    let arguments = ["banger", "vm", "run"].iter().chain(arguments);
    let words: Vec<_> = arguments.map(OsString::from).collect();
    match args::parse(&words).unwrap().command {
        Command::Vm(VmCommand::Run(args)) => RunPlan::of(args),
        other => panic!("{other:?}"),
    }
}

fn exec_plan(arguments: &[&str]) -> Result<ExecPlan, PlanError> {
    let arguments = ["banger", "vm", "exec", "dev"].iter().chain(arguments);
    let words: Vec<_> = arguments.map(OsString::from).collect();
    match args::parse(&words).unwrap().command {
        Command::Vm(VmCommand::Exec(args)) => ExecPlan::of(args.detach, args),
        other => panic!("{other:?}"),
    }
}

fn entered(plan: RunPlan) -> (Process, After) {
    match plan.then {
        Then::Enter { process, after } => (process, after),
        Then::Detach(_) => panic!("not entered"),
    }
}

fn nothing(_: &OsStr) -> Option<OsString> {
    None
}

#[test]
fn bare_is_the_images_command_or_the_login_shell_of_a_vm_that_stays() {
    let (process, after) = entered(run_plan(&[]).unwrap());
    assert_eq!((after, process.terminal), (After::Keep, TerminalChoice::Auto));
    let expected = ExecStart { image_command: true, ..ExecStart::default() };
    assert_eq!(process.start(None, false, nothing), expected);
}

#[test]
fn sizes_and_names_reach_the_request() {
    let plan = run_plan(&[
        "--name",
        "dev",
        "--vcpu",
        "2",
        "--memory",
        "1G",
        "--disk-size",
        "4G",
        "--wait",
        "system",
    ]);
    let json = serde_json::to_value(plan.unwrap().create).unwrap();
    let expected = serde_json::json!({
        "name": "dev", "vcpus": 2, "memory_mib": 1024, "disk_bytes": 4_294_967_296_u64,
        "no_start": false, "wait": "system", "command_follows": true
    });
    assert_eq!(json, expected);
}

#[test]
fn what_cannot_go_together_is_refused() {
    assert_eq!(run_plan(&["-d", "--rm"]), Err(PlanError::DetachedRemove));
    assert_eq!(run_plan(&["--rm", "--idempotency-key", "k"]), Err(PlanError::SharedRemove));
    assert!(run_plan(&["--idempotency-key", "k"]).is_ok());
    assert_eq!(run_plan(&["--entrypoint", "", "alpine"]), Err(PlanError::NoEntrypoint));
    assert_eq!(run_plan(&["-w", "srv"]), Err(PlanError::RelativeDirectory("srv".into())));
    let twice = run_plan(&["--image", "debian-bookworm", "alpine:3.20"]);
    assert_eq!(twice, Err(PlanError::TwoImages("alpine:3.20".into())));
    assert_eq!(run_plan(&["./repo", "--", "make"]), Err(PlanError::FirstPath("./repo".into())));
    assert_eq!(exec_plan(&["-d"]), Err(PlanError::DetachedShell));
    assert_eq!(exec_plan(&["-w", "./a", "x"]), Err(PlanError::RelativeDirectory("./a".into())));
    assert_eq!(exec_plan(&["-e", "=x", "--", "x"]), Err(PlanError::NoVariable("=x".into())));
}

#[test]
fn variables_are_set_or_passed_on() {
    let ExecPlan::Attached(process) =
        exec_plan(&["-e", "A=1=2", "-e", "HOME", "-e", "UNSET", "-e", "E=", "--", "env"]).unwrap()
    else {
        panic!("detached")
    };
    let ours = |name: &OsStr| (name == "HOME").then(|| "/home/me".into());
    let start = process.start(None, false, ours);
    let pairs: Vec<_> = start.environment.iter().map(|v| (v.name.as_ref(), v.value.as_ref())).collect();
    assert_eq!(pairs, [(&b"A"[..], &b"1=2"[..]), (b"HOME", b"/home/me"), (b"E", b"")]);
}

#[test]
fn a_terminal_takes_our_type_along_unless_told_otherwise() {
    let ours = |name: &OsStr| (name == "TERM").then(|| "xterm-256color".into());
    let size = Some(WindowSize { columns: 80, rows: 24 });
    let (process, _) = entered(run_plan(&["-t"]).unwrap());
    let start = process.start(size, false, ours);
    assert_eq!(start.environment[0].value, "xterm-256color");
    assert!(process.start(None, false, ours).environment.is_empty());
    let (process, _) = entered(run_plan(&["-e", "TERM=dumb"]).unwrap());
    let start = process.start(size, false, ours);
    assert_eq!(start.environment.len(), 1);
    assert_eq!(start.environment[0].value, "dumb");
}

#[test]
fn an_entry_point_stands_before_the_command() {
    let argv = |arguments: &[&str]| {
        let (process, _) = entered(run_plan(arguments).unwrap());
        process.start(None, false, nothing).argv
    };
    assert_eq!(argv(&["--entrypoint", "sh"]), ["sh"]);
    assert_eq!(argv(&["--entrypoint", "sh", "--", "-c", "true"]), ["sh", "-c", "true"]);
    assert_eq!(argv(&["--entrypoint", "", "--", "true"]), ["true"]);
}

#[test]
fn a_command_of_a_vm_that_is_left_runs_in_the_background() {
    let Then::Detach(process) = run_plan(&["-d", "-e", "A=b", "--", "sleep", "9"]).unwrap().then else {
        panic!("not in the background")
    };
    assert_eq!(process.start(None, true, nothing).argv, ["sleep", "9"]);
    // In the background nothing has a terminal, as with `docker run -itd`.
    let Then::Detach(process) = run_plan(&["-itd", "alpine", "sleep", "9"]).unwrap().then else {
        panic!("not in the background")
    };
    assert_eq!(process.start(None, true, nothing).terminal, None);
    assert!(matches!(exec_plan(&["-d", "-t", "--", "x"]), Ok(ExecPlan::Detached(_))));
    let Then::Detach(process) = run_plan(&["-d", "-it"]).unwrap().then else { panic!("entered") };
    assert!(process.needs_images_command() && !process.has_settings());
}

#[test]
fn a_shell_and_an_interactive_command_read_the_terminal_that_was_asked_for() {
    for (arguments, reads) in [
        (&["-it"][..], true),
        (&["-t"], true),
        (&["-it", "alpine", "sh"], true),
        (&["-t", "alpine", "ls"], false),
        (&["-i", "alpine", "sh"], false),
        (&[], false),
    ] {
        assert_eq!(entered(run_plan(arguments).unwrap()).0.reads_a_terminal(), reads, "{arguments:?}");
    }
}

#[test]
fn without_stdin_there_is_no_terminal_either() {
    let ExecPlan::Attached(process) = exec_plan(&["-n", "true"]).unwrap() else { panic!("detached") };
    assert_eq!((process.has_stdin, process.terminal), (false, TerminalChoice::Never));
}

proptest! {
    #[test]
    fn a_command_is_taken_exactly_as_it_is(command in proptest::collection::vec("[^\0]{0,12}", 1..6)) {
        let mut arguments = vec!["--rm", "--"];
        arguments.extend(command.iter().map(String::as_str));
        let (process, after) = entered(run_plan(&arguments).unwrap());
        prop_assert_eq!(after, After::Delete);
        let argv: Vec<_> = process.start(None, false, nothing).argv;
        prop_assert_eq!(argv, command);
    }

    #[test]
    fn a_variable_is_split_at_its_first_equals_sign(name in "[A-Za-z_][A-Za-z0-9_]{0,8}", value in "[^\0]{0,12}") {
        let text = format!("{name}={value}");
        let expected = (Bytes::from(name), Some(Bytes::from(value)));
        prop_assert_eq!(variable(OsStr::new(&text)), Ok(expected));
    }
}

#[test]
fn the_first_word_may_be_where_an_image_comes_from_and_what_follows_is_its_command() {
    let plan = |arguments: &[&str]| {
        let plan = run_plan(arguments).unwrap();
        let Then::Enter { process, .. } = plan.then else { panic!("{plan:?}") };
        (plan.create.image_source.map(|source| source.source), process.argv)
    };
    let words = |words: &[&'static str]| {
        words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect::<Vec<_>>()
    };
    let alpine = Some("alpine:3.20".to_owned());
    assert_eq!(plan(&["alpine:3.20"]), (alpine.clone(), words(&[])));
    assert_eq!(plan(&["alpine:3.20", "ls", "-l"]), (alpine.clone(), words(&["ls", "-l"])));
    assert_eq!(plan(&["-it", "--rm", "alpine:3.20", "ls", "-t"]), (alpine.clone(), words(&["ls", "-t"])));
    assert_eq!(plan(&["--rm", "alpine:3.20", "--", "ls", "-l"]), (alpine.clone(), words(&["ls", "-l"])));
    assert_eq!(plan(&["alpine:3.20", "sh", "--", "x"]), (alpine.clone(), words(&["sh", "--", "x"])));
    assert_eq!(plan(&["--image", "alpine:3.20", "--", "ls"]), (alpine, words(&["ls"])));
    assert_eq!(plan(&["--", "alpine:3.20", "ls"]), (None, words(&["alpine:3.20", "ls"])));
    let local = run_plan(&["--image", "alpine-3.20", "--pull", "never"]).unwrap().create;
    assert_eq!(
        (local.image_source.unwrap().source.as_str(), local.pull),
        ("alpine-3.20", banger_model::PullPolicy::Never)
    );
    assert_eq!(plan(&["alpine", "sh"]), (Some("alpine".to_owned()), words(&["sh"])));
}
