//! `vm ports`: what listens inside guests.

use banger_api::{ListenerView, TransportProtocol, VmView, route};
use banger_sys::paths::Paths;

use crate::args::shared::AnyVms;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::progress::Board;
use crate::render;
use crate::targets::{Answer, as_json, ask_each, choose, tell_failures};

/// What `banger port` takes; docker's takes a port as well.
pub(crate) const TAKES_VMS: &str =
    "`banger port` takes VMs and lists all their ports, as in `banger port dev`";

/// Lists the listeners of all of them; fails when it failed for any.
pub(crate) async fn ports(paths: &Paths, wanted: &AnyVms, board: &Board) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    let mut answers = ask_each(&client, choose(&wanted.vms, &vms), route::LIST_VM_PORTS).await;
    explain_numbers(&mut answers);
    match Form::of(wanted.json, board) {
        Form::Json => render::print_json(&as_json(&answers, "ports"))?,
        Form::Ids => render::print(&listening(&answers))?,
        // Without any list, the errors say everything.
        Form::Text if answers.is_empty() || answers.iter().any(|answer| answer.result.is_ok()) => {
            render::print(&table(&answers))?;
        }
        Form::Text => {}
    }
    tell_failures(&answers)
}

/// A number that names no VM was meant as a port.
fn explain_numbers(answers: &mut [Answer<Vec<ListenerView>>]) {
    for answer in answers.iter_mut().filter(|answer| answer.target.parse::<u16>().is_ok()) {
        if answer.result.as_ref().is_err_and(CliError::is_missing) {
            let told = std::mem::replace(&mut answer.result, Ok(Vec::new()));
            answer.result = told.map_err(|error| error.with_hint(TAKES_VMS.to_owned()));
        }
    }
}

/// Returns the ids of the VMs in the table.
fn listening(answers: &[Answer<Vec<ListenerView>>]) -> String {
    let has_rows = |answer: &&Answer<Vec<ListenerView>>| answer.result.iter().flatten().next().is_some();
    answers.iter().filter(has_rows).map(|answer| format!("{}\n", answer.id)).collect()
}

fn table(answers: &[Answer<Vec<ListenerView>>]) -> String {
    let rows = answers.iter().flat_map(|answer| {
        let listeners = answer.result.iter().flatten();
        listeners.map(|listener| row(&answer.target, listener))
    });
    render::table(&["VM", "PROTO", "ADDRESS", "PORT", "PROCESS", "PID"], &rows.collect::<Vec<_>>())
}

fn row(vm: &str, listener: &ListenerView) -> Vec<String> {
    let protocol = match listener.protocol {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
    };
    // The first holder is the oldest as a rule: the server itself, and not one of its workers.
    let process = listener.processes.first();
    vec![
        vm.to_owned(),
        protocol.to_owned(),
        listener.address.to_string(),
        listener.port.to_string(),
        process.map(|process| process.name.clone()).unwrap_or_default(),
        process.map(|process| process.pid.to_string()).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn listeners_are_a_table_and_a_guest_does_not_command_the_terminal() {
        let listeners = serde_json::from_value(serde_json::json!([
            { "protocol": "tcp", "address": "0.0.0.0", "port": 22, "processes": [
                { "pid": 1, "name": "systemd" }, { "pid": 340, "name": "sshd" }
            ] },
            { "protocol": "tcp", "address": "::1", "port": 8080, "processes": [
                { "pid": 7, "name": "\u{1b}[2Jevil\tname" }
            ] },
            { "protocol": "udp", "address": "127.0.0.53", "port": 53, "processes": [] }
        ]))
        .unwrap();
        let answers = [
            Answer { target: "dev".into(), id: "0123456789abcdef".into(), result: Ok(listeners) },
            Answer { target: "idle".into(), id: "1123456789abcdef".into(), result: Ok(Vec::new()) },
            Answer { target: "gone".into(), id: "gone".into(), result: Err(CliError::told()) },
        ];
        assert_eq!(listening(&answers), "0123456789abcdef\n");
        insta::assert_snapshot!(table(&answers), @r"
        VM   PROTO  ADDRESS     PORT  PROCESS            PID
        dev  tcp    0.0.0.0     22    systemd            1
        dev  tcp    ::1         8080  \x1b[2Jevil\tname  7
        dev  udp    127.0.0.53  53    -                  -
        ");
    }

    #[test]
    fn a_port_in_place_of_a_vm_is_told_what_the_command_takes() {
        let missing = |target: &str| Answer {
            target: target.into(),
            id: target.into(),
            result: Err(CliError::new(Kind::Missing, "there is no such VM")),
        };
        let mut answers = [missing("22"), missing("dev")];
        explain_numbers(&mut answers);
        let hints = answers.map(|answer| answer.result.unwrap_err().hint().map(str::to_owned));
        assert_eq!(hints, [Some(TAKES_VMS.to_owned()), None]);
    }
}
