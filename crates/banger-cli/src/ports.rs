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

/// Lists the listeners of all of them; fails when it failed for any.
pub(crate) async fn ports(paths: &Paths, wanted: &AnyVms, board: &Board) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    let answers = ask_each(&client, choose(&wanted.vms, &vms), route::LIST_VM_PORTS).await;
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
}
