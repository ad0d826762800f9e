//! What happens is told in order, once, to whoever listens, and to whoever comes later with a cursor.

use banger_api::EventView;
use banger_daemon::events::Events;
use banger_model::EventKind;
use banger_store::{Event, Store};
use http_body_util::BodyExt as _;

use crate::sandbox::Sandbox;

async fn kept(sandbox: &Sandbox, after: i64) -> Vec<EventView> {
    let body = sandbox.client.stream(&format!("/v1/events?after={after}")).await.unwrap();
    let bytes = body.collect().await.unwrap().to_bytes();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn told(events: &[EventView]) -> Vec<(EventKind, &str, &str)> {
    events
        .iter()
        .map(|event| (event.kind, event.name.as_str(), event.value.as_deref().unwrap_or("")))
        .collect()
}

#[tokio::test]
async fn a_vms_life_is_told_with_the_operation_of_each_step() {
    let sandbox = Sandbox::start().await;
    let created = sandbox.finish(sandbox.begin_create("dev").await).await.unwrap();
    sandbox.act("dev", "delete").await.unwrap();
    let events = kept(&sandbox, 0).await;
    assert_eq!(
        told(&events),
        [
            (EventKind::OperationBegun, "dev", "vm_create"),
            (EventKind::VmAdded, "dev", "created"),
            (EventKind::VmState, "dev", "starting"),
            (EventKind::VmState, "dev", "running"),
            (EventKind::OperationEnded, "dev", "succeeded"),
            (EventKind::OperationBegun, "dev", "vm_delete"),
            (EventKind::VmState, "dev", "stopped"),
            (EventKind::VmRemoved, "dev", ""),
            (EventKind::OperationEnded, "dev", "succeeded"),
        ]
    );
    assert!(events[..5].iter().all(|event| event.op_id.as_ref() == Some(&created.id)), "{events:?}");
    assert_ne!(events[5].op_id, events[4].op_id);
    assert!(events.is_sorted_by_key(|event| event.cursor));
}

#[tokio::test]
async fn a_listener_hears_what_comes_and_goes_on_where_it_was() {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("before").await;
    let mut body = sandbox.client.stream("/v1/events?follow=true").await.unwrap();
    sandbox.create("dev").await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") {
        heard.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    let first: EventView =
        serde_json::from_slice(heard.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((first.kind, first.name.as_str()), (EventKind::OperationBegun, "dev"));
    drop(body);
    // Also another daemon knows what was.
    sandbox.crash_daemon();
    sandbox.start_daemon().await;
    let rest = kept(&sandbox, first.cursor).await;
    assert_eq!(told(&rest)[0], (EventKind::VmAdded, "dev", "created"));
    assert_eq!(kept(&sandbox, rest.last().unwrap().cursor).await, []);
}

#[tokio::test]
async fn whoever_was_away_too_long_is_told_that_events_are_missing() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(Store::open(&directory.path().join("banger.db")).unwrap());
    let events = Events::new(std::sync::Arc::clone(&store));
    for _ in 0..10_002 {
        let event = Event {
            kind: EventKind::VmChanged,
            vm_id: None,
            name: "dev".into(),
            op_id: None,
            value: None,
            message: None,
        };
        store.add_event(&event).unwrap();
    }
    let told = [
        (0, "events before this cursor are no longer kept"),
        (20_000, "there is no event 20000 yet, the latest is 10002; the cursor may be from another daemon"),
    ];
    for (cursor, why) in told {
        let mut reader = events.read_after(Some(cursor)).unwrap();
        let missed = reader.next(false).await.unwrap().unwrap();
        assert_eq!(
            (missed[0].event.kind, missed[0].event.message.as_deref()),
            (EventKind::EventsMissed, Some(why))
        );
        let next = reader.next(false).await.unwrap();
        assert_eq!(next.map(|next| next[0].cursor), (cursor == 0).then_some(3));
    }
    let mut reader = events.read_after(Some(2)).unwrap();
    assert_eq!(reader.next(false).await.unwrap().unwrap()[0].cursor, 3);
}
