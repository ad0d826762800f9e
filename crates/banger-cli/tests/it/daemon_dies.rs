//! Commands during which the daemon dies: they go on with the next one.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::daemon::{OnCreate, vm};
use crate::program::{Stage, Told, run, told};

/// Stands between the program and the daemon, and cuts one answer.
struct Line {
    answers: Arc<Mutex<Answers>>,
    _carries: JoinSet<()>,
}

#[derive(Default)]
struct Answers {
    /// Length of each answer, in the order of the connections.
    lengths: Vec<usize>,
    /// The connection whose answer ends after so many bytes.
    cut: Option<(usize, usize)>,
}

impl Line {
    fn between(stage: &Stage, cut: Option<(usize, usize)>) -> Self {
        let socket = stage.home.path().join("run/bangerd.sock");
        let behind = stage.home.path().join("run/behind.sock");
        std::fs::rename(&socket, &behind).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let answers = Arc::new(Mutex::new(Answers { cut, ..Answers::default() }));
        let mut carries = JoinSet::new();
        let shared = Arc::clone(&answers);
        carries.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (program, _) = listener.accept().await.unwrap();
                let daemon = UnixStream::connect(&behind).await.unwrap();
                let number = {
                    let mut answers = shared.lock().unwrap();
                    answers.lengths.push(0);
                    answers.lengths.len() - 1
                };
                connections.spawn(carry(program, daemon, number, Arc::clone(&shared)));
            }
        });
        Self { answers, _carries: carries }
    }
}

async fn carry(program: UnixStream, daemon: UnixStream, number: usize, answers: Arc<Mutex<Answers>>) {
    let (mut from_program, mut to_program) = program.into_split();
    let (mut from_daemon, mut to_daemon) = daemon.into_split();
    let up = async {
        let _ = tokio::io::copy(&mut from_program, &mut to_daemon).await;
        std::future::pending::<()>().await;
    };
    let cut = answers.lock().unwrap().cut.filter(|(connection, _)| *connection == number);
    let down = async {
        let mut buffer = vec![0; 4096];
        let mut carried = 0;
        loop {
            let room = cut.map_or(buffer.len(), |(_, bytes)| (bytes - carried).min(buffer.len()));
            // With no room left, the daemon is dead as soon as it would say more.
            let Ok(count @ 1..) = from_daemon.read(&mut buffer).await else { return };
            let count = count.min(room);
            if count == 0 || to_program.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            carried += count;
            answers.lock().unwrap().lengths[number] = carried;
            if cut.is_some_and(|(_, bytes)| carried == bytes) {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

fn stage() -> Stage {
    let stage = Stage::new();
    stage.daemon.script(|script| script.vms = vec![vm("dev", 0xaa01)]);
    stage
}

async fn play(words: &[&str], cut: Option<(usize, usize)>) -> (Told, Vec<usize>) {
    let stage = stage();
    let line = Line::between(&stage, cut);
    let told = run(stage.banger(words)).await;
    let lengths = line.answers.lock().unwrap().lengths.clone();
    (told, lengths)
}

#[tokio::test]
async fn a_command_goes_on_wherever_the_daemon_died_in_an_answer() {
    for words in [
        &["vm", "stop", "-q", "dev"][..],
        &["vm", "delete", "-q", "dev"],
        &["vm", "create", "-q", "--name", "new"],
        &["image", "delete", "-q", "debian-bookworm"],
    ] {
        // Another VM has another id.
        let told = |told: Told| match words {
            [_, "create", ..] => Told { stdout: told.stdout.len().to_string(), ..told },
            _ => told,
        };
        let (whole, lengths) = play(words, None).await;
        let whole = told(whole);
        assert_eq!(whole.status, Some(0), "{words:?}: {whole:?}");
        for (connection, length) in lengths.into_iter().enumerate() {
            for bytes in [0, length / 2, length - 1] {
                let (cut, _) = play(words, Some((connection, bytes))).await;
                assert_eq!(told(cut), whole, "{words:?}: answer {connection} was cut after {bytes} bytes");
            }
        }
    }
}

#[tokio::test]
async fn an_operation_that_went_with_its_daemon_is_begun_anew_by_the_next() {
    let stage = stage();
    stage.daemon.script(|script| script.create = OnCreate::Hold);
    let child = stage.banger(&["vm", "stop", "-q", "dev"]).spawn().unwrap();
    stage.daemon.requested("GET /v1/operations/").await;
    stage.daemon.script(|script| script.create = OnCreate::Succeed);
    stage.daemon.forget_operations();
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "000000000000aa01\n"), "{told:?}");
    let stops = stage.daemon.requests().into_iter().filter(|request| request.ends_with("/stop")).count();
    assert_eq!(stops, 2);
}
