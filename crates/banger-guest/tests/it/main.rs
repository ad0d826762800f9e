//! The client against a fake agent, over a stream in memory.

mod fake;

use std::time::Duration;

use banger_guest::proto::exec_reply::Reply;
use banger_guest::proto::exec_request::Request as Input;
use banger_guest::proto::{
    ExecExited, ExecFailed, ExecStart, ExecStarted, FileSystemFigures, IdentifyRequest, Readiness,
    StatsReply, exec_exited, exec_failed,
};
use banger_guest::{AgentClient, AgentError, ExecEvent, ExitOutcome, InputClosed};
use bytes::Bytes;
use fake::FakeAgent;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn hello_tells_who_is_there() {
    let client = FakeAgent::default().serve().await;
    let hello = client.hello("0.1.0", SOON).await.unwrap();
    assert_eq!((hello.protocol_version, hello.agent_version.as_str()), (1, "9.9.9"));
    let health = client.health(SOON).await.unwrap();
    assert_eq!(health.readiness(), Readiness::Agent);
    let ready = client.wait_ready(Readiness::System, SOON).await.unwrap();
    assert_eq!(ready.readiness(), Readiness::System);
    client.wait_port(22, SOON).await.unwrap();
    assert_eq!(client.set_clock(7, SOON).await.unwrap(), 7);
    client.shutdown(false, SOON, SOON).await.unwrap();
}

#[tokio::test]
async fn a_guest_without_a_common_version_is_refused_with_both_sides() {
    let mut agent = FakeAgent::default();
    agent.versions = vec![7, 8];
    let client = agent.serve().await;
    let error = client.hello("0.1.0", SOON).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "banger 0.1.0 speaks version 1 of the guest protocol, the guest's agent 9.9.9 speaks 7, 8"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_is_given_up_at_the_deadline() {
    let (ours, _theirs) = tokio::io::duplex(1024);
    let client = AgentClient::connect(ours).await.unwrap();
    let error = client.hello("0.1.0", Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest did not answer `hello` within 2 s");
    let error = client.exec(ExecStart::default(), Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error, AgentError::Silent { call: "exec", .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_ends_is_told_as_broken() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let client = AgentClient::connect(ours).await.unwrap();
    drop(theirs);
    let error = client.health(SOON).await.unwrap_err();
    assert!(matches!(error, AgentError::Broken { call: "health", .. }), "{error}");
}

#[tokio::test]
async fn what_the_agent_refuses_comes_with_its_sentence() {
    let client = FakeAgent::default().serve().await;
    let error = client.identify(IdentifyRequest::default(), SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest refuses `identify`: the host name is empty");
}

#[tokio::test]
async fn an_agent_that_does_not_know_a_call_is_told_as_older() {
    let client = FakeAgent::default().serve().await;
    let error = client.stats(SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest's agent is older than this banger and does not know `stats`");
    assert!(matches!(client.listeners(SOON).await, Err(AgentError::Outdated { call: "listeners" })));
}

#[tokio::test]
async fn an_answer_has_a_length_that_it_may_have() {
    let answer = |count: usize| StatsReply {
        file_systems: vec![FileSystemFigures::default(); count],
        ..StatsReply::default()
    };
    let mut agent = FakeAgent::default();
    agent.stats = Some(answer(128 * 1024));
    assert_eq!(agent.serve().await.stats(SOON).await.unwrap().file_systems.len(), 128 * 1024);
    let mut agent = FakeAgent::default();
    agent.stats = Some(answer(128 * 1024 + 1));
    let error = agent.serve().await.stats(SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest's answer to `stats` is too long");
}

#[tokio::test]
async fn a_message_of_a_command_has_a_length_that_it_may_have() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let played = async {
        let call = calls.recv().await.unwrap();
        call.reply(Reply::Stdout(vec![b'x'; 1024 * 1024 + 1].into())).await;
        call
    };
    let (started, _call) = tokio::join!(client.exec(ExecStart::default(), SOON), played);
    assert_eq!(started.unwrap_err().to_string(), "the guest's answer to `exec` is too long");
}

#[tokio::test]
async fn what_an_agent_says_is_cut_to_what_a_person_reads() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let played = async {
        let call = calls.recv().await.unwrap();
        let failed = ExecFailed { message: "é".repeat(10_000), ..ExecFailed::default() };
        call.reply(Reply::Failed(failed)).await;
        call
    };
    let (started, _call) = tokio::join!(client.exec(ExecStart::default(), SOON), played);
    let event = started.unwrap().next().await.unwrap();
    let Some(ExecEvent::Failed { message, .. }) = event else { panic!("{event:?}") };
    assert_eq!(message.chars().count(), 513);
    let mut agent = FakeAgent::default();
    agent.versions = (2..10_000).collect();
    let error = agent.serve().await.hello("0.1.0", SOON).await.unwrap_err().to_string();
    assert!(error.ends_with("speaks 2, 3, 4, 5, 6, 7, 8, 9, …"), "{error}");
}

/// The guest hangs for an hour and then continues.
#[tokio::test(start_paused = true)]
async fn a_command_outlives_a_guest_that_stands_still() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (still_ours, still_theirs) = tokio::io::duplex(64 * 1024);
    let (mut theirs, mut still_theirs) = (theirs, still_theirs);
    let (stops, mut stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        loop {
            let goes = stopped.wait_for(|stopped| !stopped).await.map(drop);
            goes.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut theirs, &mut still_theirs) => return,
                stops = stopped.wait_for(|stopped| *stopped) => drop(stops),
            }
        }
    });
    agent.serve_on(still_ours);
    let client = AgentClient::connect(ours).await.unwrap();
    let (started, call) = tokio::join!(client.exec(ExecStart::default(), SOON), async {
        let call = calls.recv().await.unwrap();
        call.reply(Reply::Started(ExecStarted { pid: 7 })).await;
        call
    });
    let mut session = started.unwrap();
    assert_eq!(session.next().await.unwrap(), Some(ExecEvent::Started { pid: 7 }));
    stops.send_replace(true);
    call.reply(Reply::Stdout("said while it stood still".into())).await;
    let next = tokio::time::timeout(Duration::from_secs(3600), session.next()).await;
    assert!(next.is_err(), "{next:?}");
    stops.send_replace(false);
    let next = session.next().await.unwrap();
    assert_eq!(next, Some(ExecEvent::Stdout("said while it stood still".into())));
}

#[tokio::test]
async fn a_command_gets_its_input_and_gives_its_output() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let start = ExecStart {
        argv: vec![Bytes::from_static(b"cat"), Bytes::from_static(b"a b")],
        ..ExecStart::default()
    };
    let opened = client.exec(start.clone(), SOON);
    let played = async {
        let mut call = calls.recv().await.unwrap();
        assert_eq!(call.next().await, Some(Input::Start(start.clone())));
        call.reply(Reply::Started(ExecStarted { pid: 42 })).await;
        call
    };
    let (session, mut call) = tokio::join!(opened, played);
    let mut session = session.unwrap();
    assert_eq!(session.next().await.unwrap(), Some(ExecEvent::Started { pid: 42 }));

    session.input().stdin(Bytes::from_static(b"in")).await.unwrap();
    session.input().resize(80, 24).await.unwrap();
    session.input().signal(2).await.unwrap();
    session.input().stdin_end().await.unwrap();
    assert_eq!(call.next().await, Some(Input::Stdin(Bytes::from_static(b"in"))));
    assert!(matches!(call.next().await, Some(Input::Resize(size)) if (size.columns, size.rows) == (80, 24)));
    assert_eq!(call.next().await, Some(Input::Signal(2)));
    assert!(matches!(call.next().await, Some(Input::StdinEnd(_))));

    call.reply(Reply::Stdout(Bytes::from_static(b"out"))).await;
    call.reply(Reply::Stderr(Bytes::from_static(b"err"))).await;
    call.reply(Reply::Exited(ExecExited {
        outcome: Some(exec_exited::Outcome::Signal(9)),
        note: String::new(),
    }))
    .await;
    drop(call);
    assert_eq!(session.next().await.unwrap(), Some(ExecEvent::Stdout(Bytes::from_static(b"out"))));
    assert_eq!(session.next().await.unwrap(), Some(ExecEvent::Stderr(Bytes::from_static(b"err"))));
    assert_eq!(session.next().await.unwrap(), Some(ExecEvent::Exited(ExitOutcome::Signal(9))));
    assert_eq!(session.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_command_that_cannot_start_is_an_event() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let failed = ExecFailed { reason: exec_failed::Reason::NotFound.into(), message: "no `x`".into() };
    let played = async { calls.recv().await.unwrap().reply(Reply::Failed(failed)).await };
    let (session, ()) = tokio::join!(client.exec(ExecStart::default(), SOON), played);
    let event = session.unwrap().next().await.unwrap();
    let reason = exec_failed::Reason::NotFound;
    assert_eq!(event, Some(ExecEvent::Failed { reason, message: "no `x`".into() }));
}

#[tokio::test]
async fn dropping_a_session_reaches_the_agent() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let played = async {
        let call = calls.recv().await.unwrap();
        call.reply(Reply::Started(ExecStarted { pid: 1 })).await;
        call
    };
    let (session, call) = tokio::join!(client.exec(ExecStart::default(), SOON), played);
    drop(session.unwrap());
    call.gone().await;
}

#[tokio::test]
async fn a_command_whose_stream_ends_early_is_no_success() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let played = async { calls.recv().await.unwrap().reply(Reply::Started(ExecStarted { pid: 1 })).await };
    let (session, ()) = tokio::join!(client.exec(ExecStart::default(), SOON), played);
    let (input, mut output) = session.unwrap().split();
    assert!(matches!(output.next().await, Ok(Some(ExecEvent::Started { .. }))));
    assert!(matches!(output.next().await, Err(AgentError::NoExit)));
    drop(output);
    while input.stdin(Bytes::from_static(b"x")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(input.signal(1).await, Err(InputClosed));
}

#[tokio::test]
async fn a_command_that_does_not_read_stops_its_writer() {
    let (agent, mut calls) = FakeAgent::with_exec();
    let client = agent.serve().await;
    let played = async {
        let call = calls.recv().await.unwrap();
        call.reply(Reply::Started(ExecStarted { pid: 1 })).await;
        call
    };
    let (session, mut call) = tokio::join!(client.exec(ExecStart::default(), SOON), played);
    let session = session.unwrap();
    let chunk = Bytes::from(vec![0; 32 * 1024]);
    let mut sent = 0;
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(200), session.input().stdin(chunk.clone())).await
    {
        result.unwrap();
        sent += chunk.len();
        assert!(sent < 16 * 1024 * 1024, "the queue has no bound");
    }
    let mut received = 0;
    while received < sent {
        match call.next().await {
            Some(Input::Stdin(bytes)) => received += bytes.len(),
            Some(_) => {}
            None => panic!("the input ended"),
        }
    }
}
