//! A daemon that does what the test says, on the socket of a home of its own.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use banger_api::{
    DaemonInfo, EndingView, ErrorBody, ErrorCode, OperationKind, OperationState, OperationView, StageView,
    VmView,
};
use banger_model::Hint;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::agent::{self, ExecCall};

/// Nothing in a test takes longer; what does hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What the daemon does with a request for a VM.
#[derive(Clone)]
pub(crate) enum OnCreate {
    Succeed,
    Fail(ErrorBody),
    /// At work until it is cancelled.
    Hold,
    /// At work until it is cancelled, but done before it hears that.
    SucceedWhenCancelled,
}

pub(crate) struct Script {
    pub(crate) create: OnCreate,
    pub(crate) vms: Vec<VmView>,
    pub(crate) info: DaemonInfo,
    /// Errors by request, as in `POST /v1/vms/0000000000000001/stop`.
    pub(crate) errors: BTreeMap<String, ErrorBody>,
    /// Answers by request, in place of those below.
    pub(crate) answers: BTreeMap<String, Value>,
    /// What every operation warns of.
    pub(crate) warnings: Vec<String>,
    /// What every operation tells at its end.
    pub(crate) notes: Vec<String>,
    /// Requests that get no answer.
    pub(crate) silent: Vec<String>,
    pub(crate) log: Vec<u8>,
    /// Bodies of the answers to `GET /v1/events`, one each; then it is silent.
    pub(crate) events: VecDeque<String>,
    /// Guests take connections and say nothing.
    pub(crate) are_guests_silent: bool,
    /// What agents are like.
    pub(crate) character: agent::Character,
    /// Roots of guests with the real agent, by the VM's name; the others are played by the test.
    pub(crate) real_guests: BTreeMap<String, PathBuf>,
    /// Names of VMs whose guest gives no figures.
    pub(crate) silent_guests: Vec<String>,
    /// How guests ended, by their boot id.
    pub(crate) endings: BTreeMap<String, EndingView>,
    /// Bodies of the requests for VMs so far.
    asked: Vec<Value>,
}

/// The daemon. It dies when it is dropped.
pub(crate) struct Daemon {
    shared: Arc<Shared>,
    calls: mpsc::Receiver<ExecCall>,
    _server: JoinSet<()>,
}

struct Shared {
    script: Mutex<Script>,
    requests: watch::Sender<Vec<String>>,
    operations: Mutex<BTreeMap<String, watch::Sender<OperationView>>>,
    channels: Mutex<JoinSet<()>>,
    calls: mpsc::Sender<ExecCall>,
}

impl Daemon {
    pub(crate) fn listen(home: &Path) -> Self {
        let socket = home.join("run/bangerd.sock");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        let (calls, receiver) = mpsc::channel(4);
        let script = Script {
            create: OnCreate::Succeed,
            vms: Vec::new(),
            info: info(),
            errors: BTreeMap::new(),
            answers: BTreeMap::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            silent: Vec::new(),
            log: b"[    0.000000] Linux version 6.1\n".to_vec(),
            events: VecDeque::new(),
            are_guests_silent: false,
            character: agent::Character::default(),
            real_guests: BTreeMap::new(),
            silent_guests: Vec::new(),
            endings: BTreeMap::new(),
            asked: Vec::new(),
        };
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            requests: watch::Sender::new(Vec::new()),
            operations: Mutex::default(),
            channels: Mutex::default(),
            calls,
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, calls: receiver, _server: server }
    }

    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script.lock().unwrap());
    }

    /// The next command that is started in a guest.
    pub(crate) async fn exec(&mut self) -> ExecCall {
        tokio::time::timeout(DEADLINE, self.calls.recv()).await.expect("no command came").unwrap()
    }

    /// Waits until a request has come whose text starts so.
    pub(crate) async fn requested(&self, request: &str) {
        let mut requests = self.shared.requests.subscribe();
        let seen = requests.wait_for(|all| all.iter().any(|one| one.starts_with(request)));
        tokio::time::timeout(DEADLINE, seen).await.unwrap_or_else(|_| panic!("no {request}")).unwrap();
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.borrow().clone()
    }

    /// Bodies of the requests for VMs.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.script.lock().unwrap().asked.clone()
    }

    /// Names of the VMs that are left.
    pub(crate) fn vms(&self) -> Vec<String> {
        self.shared.script.lock().unwrap().vms.iter().map(|vm| vm.name.to_string()).collect()
    }

    /// Loses what it knows of its work, as a death does.
    pub(crate) fn forget_operations(&self) {
        self.shared.operations.lock().unwrap().clear();
    }

    /// Cuts all streams to guests, as a death of the daemon does.
    pub(crate) fn cut_channels(&self) {
        self.shared.channels.lock().unwrap().abort_all();
    }
}

pub(crate) fn info() -> DaemonInfo {
    DaemonInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        api_version: banger_api::API_VERSION,
        pid: std::process::id(),
        started_at: "2026-01-01T00:00:00Z".into(),
        is_outdated: false,
        work_in_progress: 0,
        resident_bytes: 9 << 20,
        disk_floor_bytes: None,
    }
}

pub(crate) fn vm(name: &str, number: u64) -> VmView {
    serde_json::from_value(json!({
        "id": format!("{number:016x}"), "name": name, "state": "running", "image": "debian-bookworm",
        "kernel": "debian-12", "vcpus": 1, "memory_mib": 512, "disk_bytes": 8_589_934_592_u64,
        "created_at": "2026-01-01T00:00:00Z"
    }))
    .unwrap()
}

/// An image with a command.
pub(crate) fn image(name: &str, command: &[&str]) -> Value {
    json!({
        "name": name, "is_pulled": true, "kernel": "debian-12", "arch": "amd64", "id": "0123456789abcdef",
        "distro": "debian",
        "process": { "command": command, "environment": [], "user": "", "working_directory": "" }
    })
}

pub(crate) fn error(code: ErrorCode, message: &str) -> ErrorBody {
    ErrorBody { code, message: message.into(), hint: None, op_id: None, console: Vec::new() }
}

fn refuse(error: ErrorBody) -> Response {
    let status = StatusCode::from_u16(banger_api::http_status(error.code)).unwrap();
    (status, Json(error)).into_response()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let line = format!("{} {path}", request.method());
    let asked = if path == "/v1/events" { format!("GET {}", request.uri()) } else { line.clone() };
    shared.requests.send_modify(|all| all.push(asked));
    let (failure, answer, is_silent) = {
        let script = shared.script.lock().unwrap();
        let (failure, answer) = (script.errors.get(&line), script.answers.get(&line));
        (failure.cloned(), answer.cloned(), script.silent.contains(&line))
    };
    if let Some(answer) = answer {
        return Json(answer).into_response();
    }
    if is_silent {
        std::future::pending::<()>().await;
    }
    if let Some(failure) = failure {
        return refuse(failure);
    }
    let parts: Vec<_> = path.trim_start_matches("/v1/").split('/').collect();
    match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["info"]) => Json(shared.script.lock().unwrap().info.clone()).into_response(),
        ("POST", ["shutdown"]) => Json(Value::Null).into_response(),
        ("GET", ["doctor"]) => Json(json!({ "checks": [
            { "name": "qemu", "outcome": "pass", "detail": "8.2" },
            { "name": "kvm", "outcome": "warn", "detail": "none", "fix": { "action": "advice", "text": "see the firmware" } }
        ] }))
        .into_response(),
        ("GET", ["vms"]) => Json(shared.script.lock().unwrap().vms.clone()).into_response(),
        ("POST", ["vms"]) => create(&shared, request.into_body()).await,
        ("GET", ["vms", typed]) => find(&shared, typed).map_or_else(missing, |vm| Json(vm).into_response()),
        ("GET", ["vms", typed, "channel"]) if find(&shared, typed).is_some() => {
            let vm = find(&shared, typed).unwrap();
            let root = shared.script.lock().unwrap().real_guests.get(vm.name.as_str()).cloned();
            channel(&shared, request, query.get("port").unwrap(), root)
        }
        ("GET", ["vms", _, "ssh"]) => Json(json!({
            "private_key": "the key", "known_host": "dev ssh-ed25519 AAAA", "host_key_alias": "dev"
        }))
        .into_response(),
        ("GET", ["vms", _, "ending"]) => ending(&shared, &query),
        ("GET", ["vms", _, "ports"]) => Json(json!([
            { "protocol": "tcp", "address": "0.0.0.0", "port": 22, "processes": [{ "pid": 1, "name": "systemd" }] }
        ]))
        .into_response(),
        ("GET", ["vms", typed, "stats"]) => {
            find(&shared, typed).map_or_else(missing, |vm| stats(&shared, &vm, &query))
        }
        ("GET", ["vms", _, "logs"]) => shared.script.lock().unwrap().log.clone().into_response(),
        ("GET", ["events"]) => match shared.script.lock().unwrap().events.pop_front() {
            Some(lines) => lines.into_response(),
            None => Body::from_stream(futures::stream::pending::<std::io::Result<Vec<u8>>>()).into_response(),
        },
        ("POST", ["vms", typed, verb]) => act(&shared, typed, verb),
        ("GET", ["operations", id]) => poll(&shared, id, query.get("after").unwrap()).await,
        ("POST", ["operations", id, "cancel"]) => cancel(&shared, id),
        ("GET", ["images", name]) => Json(image(name, &[])).into_response(),
        ("GET", ["images"]) => Json(json!([
            { "name": "debian-bookworm", "is_pulled": true, "kernel": "debian-12", "arch": "amd64" }
        ]))
        .into_response(),
        ("GET", ["kernels"]) => Json(json!([
            { "name": "debian-12", "is_pulled": true, "distro": "debian", "arch": "amd64" },
            { "name": "debian-13", "is_pulled": false, "distro": "debian", "arch": "amd64" }
        ]))
        .into_response(),
        ("GET", ["catalog", "kernels"]) => Json(json!([
            { "name": "debian-13", "is_pulled": false, "distro": "debian", "suite": "trixie", "arch": "amd64",
              "package": "linux-image-cloud-amd64", "description": "" }
        ]))
        .into_response(),
        ("POST", ["kernels"]) => {
            let request = json_of(request).await;
            let target = request["name"].as_str().unwrap_or("void-6.12.68_1");
            let result = Some(json!({ "asked": request }));
            let kind = OperationKind::KernelImport;
            Json(shared.begin(kind, target, OperationState::Succeeded, result)).into_response()
        }
        ("POST", ["images"]) => {
            let request = json_of(request).await;
            let target = request["name"].as_str().unwrap().to_owned();
            let result = Some(json!({ "asked": request }));
            let kind = OperationKind::ImageRegister;
            Json(shared.begin(kind, &target, OperationState::Succeeded, result)).into_response()
        }
        ("POST", ["kernels" | "images", name, "delete"]) => {
            let kind = OperationKind::KernelDelete;
            Json(shared.begin(kind, name, OperationState::Succeeded, None)).into_response()
        }
        ("POST", ["images:pull" | "kernels:pull"]) => {
            let request = json_of(request).await;
            let result = Some(json!({ "asked": request }));
            let kind = OperationKind::ImagePull;
            Json(shared.begin(kind, "debian-bookworm", OperationState::Succeeded, result)).into_response()
        }
        _ => refuse(error(ErrorCode::UnknownMethod, &line)),
    }
}

async fn json_of(request: Request) -> Value {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn ending(shared: &Shared, query: &BTreeMap<String, String>) -> Response {
    let endings = &shared.script.lock().unwrap().endings;
    Json(endings.get(query.get("boot_id").unwrap())).into_response()
}

fn missing() -> Response {
    refuse(error(ErrorCode::NotFound, "there is no such VM"))
}

fn find(shared: &Shared, typed: &str) -> Option<VmView> {
    let script = shared.script.lock().unwrap();
    script.vms.iter().find(|vm| vm.name.as_str() == typed || vm.id.as_str() == typed).cloned()
}

async fn create(shared: &Shared, body: Body) -> Response {
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let name = request["name"].as_str().unwrap_or("brisk-otter-0417").to_owned();
    let on_create = {
        let mut script = shared.script.lock().unwrap();
        script.asked.push(request);
        script.create.clone()
    };
    let operation = match on_create {
        OnCreate::Fail(failure) if failure.code != ErrorCode::OperationFailed => return refuse(failure),
        OnCreate::Fail(failure) => {
            let mut operation = shared.begin(OperationKind::VmCreate, &name, OperationState::Failed, None);
            operation.error = Some(failure);
            operation
        }
        OnCreate::Hold | OnCreate::SucceedWhenCancelled => {
            shared.begin(OperationKind::VmCreate, &name, OperationState::Running, None)
        }
        OnCreate::Succeed => {
            let vm = shared.make_vm(&name);
            shared.begin(OperationKind::VmCreate, &name, OperationState::Succeeded, Some(json!(vm)))
        }
    };
    Json(operation).into_response()
}

fn act(shared: &Shared, typed: &str, verb: &str) -> Response {
    let Some(vm) = find(shared, typed) else { return missing() };
    if verb == "delete" {
        shared.script.lock().unwrap().vms.retain(|other| other.id != vm.id);
    }
    let result = (verb != "delete").then(|| json!(vm));
    let is_held = matches!(shared.script.lock().unwrap().create, OnCreate::Hold);
    let state = if is_held { OperationState::Running } else { OperationState::Succeeded };
    Json(shared.begin(OperationKind::VmStop, vm.name.as_str(), state, result)).into_response()
}

fn stats(shared: &Shared, vm: &VmView, query: &BTreeMap<String, String>) -> Response {
    let is_host_only = query.get("host_only").is_some_and(|value| value == "true");
    let is_silent = shared.script.lock().unwrap().silent_guests.contains(&vm.name.to_string());
    let mut stats = json!({
        "id": vm.id, "name": vm.name, "state": vm.state,
        "host": { "at_ms": if is_host_only { 1000 } else { 2000 }, "disks": [],
            "machine": { "cpu_ms": if is_host_only { 100 } else { 600 }, "resident_bytes": 1 << 20 } }
    });
    if is_silent {
        stats["guest_error"] = "cannot ask the guest".into();
    } else if !is_host_only {
        stats["guest"] = json!({
            "uptime_seconds": 5.0, "cpus": 1, "cpu_busy_ms": 1, "cpu_idle_ms": 1, "cpu_steal_ms": 0,
            "memory_total_bytes": 1 << 30, "memory_available_bytes": 1 << 29, "swap_total_bytes": 0,
            "swap_free_bytes": 0, "file_systems": [], "interfaces": [], "load": [0.5, 0.5, 0.5], "tasks": 3
        });
    }
    Json(stats).into_response()
}

async fn poll(shared: &Shared, id: &str, after: &str) -> Response {
    let after: u64 = after.parse().unwrap();
    let operation = shared.operations.lock().unwrap().get(id).map(watch::Sender::subscribe);
    let Some(mut operation) = operation else { return missing() };
    let changed = operation.wait_for(|view| view.revision > after).await.map(|view| view.clone());
    changed.map_or_else(|_forgotten| missing(), |view| Json(view).into_response())
}

fn cancel(shared: &Shared, id: &str) -> Response {
    let succeeds = matches!(shared.script.lock().unwrap().create, OnCreate::SucceedWhenCancelled);
    let operations = shared.operations.lock().unwrap();
    let Some(operation) = operations.get(id) else { return missing() };
    operation.send_modify(|view| {
        view.revision += 1;
        view.state = if succeeds { OperationState::Succeeded } else { OperationState::Cancelled };
        if succeeds {
            view.result = Some(json!(shared.make_vm(&view.target)));
        } else {
            view.error = Some(match find(shared, &view.target) {
                Some(vm) => {
                    let told = format!("cancelled; VM `{}` is stopped", vm.name);
                    let hint = Some(Hint::StartVm { vm: vm.name.to_string() });
                    ErrorBody { hint, ..error(ErrorCode::Cancelled, &told) }
                }
                None => error(ErrorCode::Cancelled, "cancelled; nothing is left behind"),
            });
        }
    });
    let mut seen = operation.borrow().clone();
    seen.state = OperationState::Cancelling;
    Json(seen).into_response()
}

fn channel(shared: &Arc<Shared>, mut request: Request, port: &str, root: Option<PathBuf>) -> Response {
    assert_eq!(request.headers().get("upgrade").unwrap(), banger_api::CHANNEL_PROTOCOL);
    let upgrade = hyper::upgrade::on(&mut request);
    let calls = shared.calls.clone();
    let is_control = port == "1024";
    let is_silent = shared.script.lock().unwrap().are_guests_silent;
    let character = shared.script.lock().unwrap().character.clone();
    shared.channels.lock().unwrap().spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        if is_silent {
            std::future::pending::<()>().await;
        }
        if let Some(root) = root {
            agent::serve_real(stream, &root).await;
            return;
        }
        if is_control {
            agent::serve(stream, calls, character).await;
            return;
        }
        // A raw stream: an echo behind the port that ssh uses, nothing behind others.
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(stream.read_u8().await.unwrap());
        }
        if let Some(answer) = character.stream_answer {
            stream.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        } else if line == b"ssh\n" {
            stream.write_all(b"OK\nSSH-2.0-fake\n").await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        } else {
            stream.write_all(b"ERR connection refused\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", banger_api::CHANNEL_PROTOCOL)
        .body(Body::empty())
        .unwrap()
}

impl Shared {
    fn make_vm(&self, name: &str) -> VmView {
        let mut script = self.script.lock().unwrap();
        let vm = vm(name, 0x00ab_cdef + script.vms.len() as u64);
        script.vms.push(vm.clone());
        vm
    }

    fn begin(
        &self,
        kind: OperationKind,
        target: &str,
        state: OperationState,
        result: Option<Value>,
    ) -> OperationView {
        let mut operations = self.operations.lock().unwrap();
        let step = |name: &str, took_ms| StageView {
            name: name.into(),
            detail: target.into(),
            started_ms: 0,
            took_ms,
            done_bytes: None,
            total_bytes: None,
            parts: Vec::new(),
        };
        let (warnings, notes) = {
            let script = self.script.lock().unwrap();
            (script.warnings.clone(), script.notes.clone())
        };
        let view = OperationView {
            id: format!("op-{}", operations.len()),
            kind,
            target: target.into(),
            state,
            revision: 1,
            stages: vec![step("disks", Some(120)), step("boot", state.is_final().then_some(900))],
            warnings,
            result,
            error: None,
            was_already: false,
            notes,
        };
        operations.insert(view.id.clone(), watch::Sender::new(view.clone()));
        view
    }
}
