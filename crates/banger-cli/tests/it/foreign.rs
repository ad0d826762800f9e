//! Text of guests, images and registries: whatever it holds, it commands no terminal and forges no line.

use banger_api::{ErrorBody, ErrorCode};
use banger_model::Hint;
use banger_tree::{EntryName, Item, Metadata, Skipped, to_wire};
use serde_json::{Value, json};

use crate::daemon::{error, vm};
use crate::program::{Stage, Told, run};

/// Sets a title, clears the screen, goes up, colours by C1, turns around, hides, and begins a line like ours.
const FOUL: &str = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\nbanger: all is well";

fn stage() -> Stage {
    let stage = Stage::new();
    stage.daemon.script(|script| script.vms = vec![vm("dev", 1)]);
    stage
}

/// Neither stream has a character that does more than be read, and no line but ours begins like ours.
fn assert_clean(what: &str, told: &Told) {
    for text in [&told.stdout, &told.stderr] {
        let foul = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{200b}' | '\u{202e}'));
        assert!(!text.contains(foul), "{what}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("banger: all is well")), "{what}: {text:?}");
    }
}

fn assert_shown(what: &str, told: &Told) {
    assert_clean(what, told);
    let all = format!("{}{}", told.stdout, told.stderr);
    assert!(all.contains(r"\x1b]0;PWNED\x07\x1b[2J\x9b31m\u{202e}\u{200b}"), "{what}: {all}");
}

#[tokio::test]
async fn an_agent_that_refuses_lies_or_is_strange_commands_no_terminal() {
    let stage = stage();
    stage.daemon.script(|script| script.character.tree = Some(Err(FOUL.to_owned())));
    let file = stage.home.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [["vm", "cp", "dev:x", "."], ["vm", "cp", file, "dev:"]] {
        let told = run(stage.banger(&arguments)).await;
        assert_shown("cp", &told);
        assert_eq!(
            (told.status, told.stderr.starts_with("banger: dev: ")),
            (Some(1), true),
            "{}",
            told.stderr
        );
    }
    let name = EntryName::new(FOUL.as_bytes()).unwrap();
    let link = Item::Link { name, metadata: Metadata::default(), target: Vec::new() };
    stage.daemon.script(|script| script.character.tree = Some(Ok(vec![to_wire(link)])));
    assert_clean("cp of a lie", &run(stage.banger(&["vm", "cp", "dev:x", "."])).await);
    let skipped = Skipped { path: FOUL.into(), reason: FOUL.repeat(50), is_failure: true };
    let name = Some(EntryName::new(b"x").unwrap());
    let enter = Item::Enter { name, metadata: Some(Metadata { mode: 0o755, ..Metadata::default() }) };
    let tree = [enter, Item::Skipped(skipped), Item::Leave, Item::End].map(to_wire).to_vec();
    stage.daemon.script(|script| script.character.tree = Some(Ok(tree)));
    let told = run(stage.banger(&["vm", "cp", "dev:x", stage.home.path().to_str().unwrap()])).await;
    assert_shown("cp leaves out", &told);
    assert!(told.stderr.len() < 3000, "{}", told.stderr);
    stage.daemon.script(|script| script.character.strange_version = Some(FOUL.to_owned()));
    assert_shown("exec", &run(stage.banger(&["vm", "exec", "dev", "true"])).await);
    stage.daemon.script(|script| {
        script.character.stream_answer = Some(format!("ERR {}", FOUL.split("\r\n").next().unwrap()));
    });
    assert_shown("proxy", &run(stage.banger(&["proxy", "dev.vm", "80"])).await);
}

#[tokio::test]
async fn a_command_that_does_not_start_is_told_in_words_that_command_no_terminal() {
    use banger_agent_proto::ExecFailed;
    use banger_agent_proto::exec_reply::Reply;
    let mut stage = stage();
    let child = stage.banger(&["vm", "exec", "dev", "true"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.reply(Reply::Failed(ExecFailed { reason: 1, message: FOUL.to_owned() })).await;
    let told = crate::program::told(child).await;
    assert_shown("exec", &told);
    assert_eq!(told.status, Some(127));
}

#[tokio::test]
async fn tables_sheets_and_lists_command_no_terminal_and_have_one_line_each() {
    let stage = stage();
    let image = json!({
        "name": "app", "is_pulled": true, "kernel": "debian-12", "arch": FOUL, "description": FOUL,
        "distro": FOUL, "source": FOUL, "directory": FOUL, "packages": [FOUL], "seeded_key": FOUL,
        "process": { "command": [FOUL], "environment": [FOUL], "user": FOUL, "working_directory": FOUL },
        "ready_ports": [], "vms": [], "host_files": [FOUL]
    });
    let kernel = json!({ "name": "k", "is_pulled": true, "distro": FOUL, "arch": FOUL, "version": FOUL,
        "suite": FOUL, "package": FOUL, "description": FOUL, "source": FOUL, "directory": FOUL });
    let operation = json!({ "id": "op-1", "kind": "vm_create", "target": FOUL, "state": "failed", "revision": 1,
        "stages": [{ "name": FOUL, "detail": FOUL, "started_ms": 0 }],
        "error": { "code": "operation_failed", "message": FOUL } });
    let mut machine = serde_json::to_value(vm("dev", 1)).unwrap();
    for field in ["last_error", "boot_id", "vmm", "created_at", "started_at", "expires_at"] {
        machine[field] = FOUL.into();
    }
    let ports = json!([{ "protocol": "tcp", "address": "::1", "port": 1, "processes": [{ "pid": 1, "name": FOUL }] }]);
    let doctor = json!({ "checks": [{ "name": FOUL, "outcome": "fail", "detail": FOUL, "fix": { "action": "advice", "text": FOUL } }] });
    let stats = json!({ "id": machine["id"], "name": "dev", "state": "running", "guest_error": FOUL,
        "host": { "at_ms": 1, "disks": [] } });
    let id = machine["id"].as_str().unwrap();
    let answers: [(String, Value); 11] = [
        ("GET /v1/images".into(), json!([image])),
        ("GET /v1/images/app".into(), image),
        ("GET /v1/kernels".into(), json!([kernel])),
        ("GET /v1/kernels/k".into(), kernel.clone()),
        ("GET /v1/catalog/kernels".into(), json!([kernel])),
        ("GET /v1/operations".into(), json!([operation])),
        ("GET /v1/operations/op-1".into(), operation),
        (format!("GET /v1/vms/{id}/ports"), ports),
        (format!("GET /v1/vms/{id}/stats"), stats),
        ("GET /v1/vms/dev".into(), machine.clone()),
        ("GET /v1/doctor".into(), doctor),
    ];
    stage.daemon.script(|script| script.answers.extend(answers));
    for (arguments, lines) in [
        (&["image", "list"][..], Some(2)),
        (&["image", "show", "app"], Some(15)),
        (&["kernel", "list"], Some(2)),
        (&["kernel", "show", "k"], Some(8)),
        (&["kernel", "catalog"], Some(2)),
        (&["operation", "list"], Some(2)),
        (&["operation", "show", "op-1"], Some(6)),
        (&["vm", "ports"], Some(2)),
        (&["vm", "stats"], None),
        (&["vm", "show", "dev"], Some(15)),
        (&["doctor"], None),
    ] {
        let told = run(stage.banger(arguments)).await;
        assert_shown(&arguments.join(" "), &told);
        if let Some(lines) = lines {
            assert_eq!(told.stdout.lines().count(), lines, "{arguments:?}: {}", told.stdout);
        }
        if !arguments.contains(&"stats") {
            let told = run(stage.banger(&[arguments, &["--json"]].concat())).await;
            assert_clean("json", &told);
            let value: Value = serde_json::from_str(&told.stdout).unwrap();
            assert!(value.to_string().contains("PWNED"), "{value}");
        }
    }
}

#[tokio::test]
async fn errors_hints_and_stages_of_the_daemon_command_no_terminal() {
    let stage = stage();
    let failure = ErrorBody {
        hint: Some(Hint::advice(FOUL)),
        op_id: Some(FOUL.to_owned()),
        console: vec![FOUL.to_owned(), "\u{1b}[31mred\u{1b}[0m".to_owned()],
        ..error(ErrorCode::NotRunning, FOUL)
    };
    stage.daemon.script(|script| drop(script.errors.insert("GET /v1/images".into(), failure)));
    let told = run(stage.banger(&["image", "list"])).await;
    assert_shown("error", &told);
    assert!(
        told.stderr.contains("\n    banger: all is well") && told.stderr.contains("    red\n"),
        "{}",
        told.stderr
    );
}

#[tokio::test]
async fn the_console_of_a_guest_is_shown_and_raw_only_when_asked_for() {
    let stage = stage();
    let log = format!("[\u{1b}[0;32m  OK  \u{1b}[0m]\tStarted\r\n{FOUL}");
    stage.daemon.script(|script| script.log = log.clone().into_bytes());
    let told = run(stage.banger(&["vm", "logs", "dev"])).await;
    // A guest's console is the guest's: its lines are its own.
    let escapes = r"\x1b]0;PWNED\x07\x1b[2J\x9b31m\u{202e}\u{200b}";
    assert_eq!(told.stdout, format!("[  OK  ]\tStarted\n{escapes}\nbanger: all is well"));
    let told = run(stage.banger(&["vm", "logs", "--raw", "dev"])).await;
    assert_eq!(told.stdout, log);
}

#[tokio::test]
async fn events_are_json_that_commands_no_terminal() {
    let stage = stage();
    let event = json!({ "cursor": 1, "at": "2026-01-01T00:00:00Z", "kind": "vm_state", "message": FOUL });
    stage.daemon.script(|script| script.events.push_back(format!("{event}\n")));
    let told = run(stage.banger(&["events", "--no-follow"])).await;
    assert_clean("events", &told);
}
