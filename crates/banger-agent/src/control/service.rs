//! The calls of the protocol, a few lines each; the work is done in the other modules.

use std::{
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use banger_agent_proto::{
    EnvironmentVariable, ExecReply, ExecRequest, FollowCommandReply, FollowCommandRequest, HealthReply,
    HealthRequest, HelloReply, HelloRequest, IdentifyReply, IdentifyRequest, ListenersReply,
    ListenersRequest, PROTOCOL_VERSION, ReadTreeReply, ReadTreeRequest, Readiness, SetClockReply,
    SetClockRequest, ShutdownReply, ShutdownRequest, StatsReply, StatsRequest, WaitPortReply,
    WaitPortRequest, WaitReadyReply, WaitReadyRequest, WriteTreeReply, WriteTreeRequest, agent_server::Agent,
    way_out::WayOut,
};
use futures::Stream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Power, listeners, readiness::ReadinessBoard};
use crate::{
    exec::{Commands, REPLIES_MAX, session},
    files,
    identity::{Identity, clock},
    respawn, stats, stream_port,
    way_out::WayOutBoard,
};

const PROC: &str = "/proc";

/// Everything that the calls need.
#[derive(Debug)]
pub(crate) struct Control {
    commands: Arc<Commands>,
    board: Arc<ReadinessBoard>,
    /// Locked for the whole of an `Identify`, because two at once would mix their files.
    identity: Mutex<Identity>,
    /// Sent once, when the first identity was applied.
    identified: std::sync::Mutex<Option<oneshot::Sender<Duration>>>,
    power: Power,
    way_out: Arc<WayOutBoard>,
    boot_id: String,
    kernel_release: String,
}

impl Control {
    pub(crate) fn new(
        commands: Arc<Commands>,
        board: Arc<ReadinessBoard>,
        identity: Identity,
        power: Power,
        way_out: Arc<WayOutBoard>,
        identified: oneshot::Sender<Duration>,
    ) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            commands,
            board,
            identity: Mutex::new(identity),
            identified: std::sync::Mutex::new(Some(identified)),
            power,
            way_out,
            boot_id: boot_id.trim().to_owned(),
            kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Agent for Control {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let is_common = request.get_ref().protocol_versions.contains(&PROTOCOL_VERSION);
        Ok(Response::new(HelloReply {
            protocol_version: if is_common { PROTOCOL_VERSION } else { 0 },
            supported_versions: vec![PROTOCOL_VERSION],
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id.clone(),
            kernel_release: self.kernel_release.clone(),
            readiness: self.board.current().readiness.into(),
            has_ssh_server: Some(stream_port::has_ssh_server(self.commands.root())),
            terminal_type: match request.get_ref().terminal_type.as_ref() {
                [] => Vec::new(),
                wanted => session::terminal_type(self.commands.root(), wanted),
            }
            .into(),
            locale: self.commands.locale(&request.get_ref().locale),
        }))
    }

    async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyReply>, Status> {
        let init_delay = Duration::from_millis(request.get_ref().init_delay_millis.into());
        let (warnings, trust) = {
            let mut identity = self.identity.lock().await;
            (identity.apply(request.get_ref()), identity.trust_variables().to_vec())
        };
        let trust = trust
            .into_iter()
            .map(|(name, value)| EnvironmentVariable { name: name.into(), value: value.into_bytes().into() });
        let session_environment: Vec<_> =
            trust.chain(request.get_ref().session_environment.clone()).collect();
        let process = request.get_ref().process.clone();
        if self.power.is_of_machine() {
            let for_commands = IdentifyRequest {
                process: process.clone(),
                session_environment: session_environment.clone(),
                ..IdentifyRequest::default()
            };
            respawn::note_identity(&for_commands);
        }
        self.commands.set_session_variables(session_environment);
        self.commands.set_defaults(process);
        self.board.identified();
        let first = self.identified.lock().map(|mut sender| sender.take()).unwrap_or_default();
        if let Some(sender) = first {
            let _ = sender.send(init_delay);
        }
        Ok(Response::new(IdentifyReply { boot_id: self.boot_id.clone(), warnings }))
    }

    async fn health(&self, _: Request<HealthRequest>) -> Result<Response<HealthReply>, Status> {
        let progress = self.board.current();
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Response::new(HealthReply {
            readiness: progress.readiness.into(),
            uptime_seconds: Duration::try_from(uptime).unwrap_or_default().as_secs_f64(),
            clock_unix_nanos: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            system_state: progress.system_state,
            commands_running: self.commands.running(),
        }))
    }

    async fn wait_ready(
        &self,
        request: Request<WaitReadyRequest>,
    ) -> Result<Response<WaitReadyReply>, Status> {
        let boundary = match request.get_ref().boundary() {
            Readiness::Unspecified => return Err(Status::invalid_argument("`boundary` is missing")),
            boundary @ (Readiness::Booted | Readiness::Agent | Readiness::System) => boundary,
        };
        let progress = self.board.reached(boundary).await;
        Ok(Response::new(WaitReadyReply {
            readiness: progress.readiness.into(),
            system_state: progress.system_state,
        }))
    }

    async fn wait_port(&self, request: Request<WaitPortRequest>) -> Result<Response<WaitPortReply>, Status> {
        let port = u16::try_from(request.get_ref().port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| Status::invalid_argument("`port` is not between 1 and 65535"))?;
        // Dropped when the caller gives up.
        listeners::wait_for(port).await.map_err(|error| Status::internal(crate::console::chain(&error)))?;
        Ok(Response::new(WaitPortReply {}))
    }

    type ExecStream = Replies<ExecReply>;

    async fn exec(
        &self,
        request: Request<Streaming<ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let (sender, replies) = mpsc::channel(REPLIES_MAX);
        let commands = Arc::clone(&self.commands);
        tokio::spawn(async move { commands.serve(request.into_inner(), sender).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    type FollowCommandStream = Replies<FollowCommandReply>;

    async fn follow_command(
        &self,
        request: Request<FollowCommandRequest>,
    ) -> Result<Response<Self::FollowCommandStream>, Status> {
        let replies = self.commands.vm_command().follow(request.into_inner());
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    async fn shutdown(&self, request: Request<ShutdownRequest>) -> Result<Response<ShutdownReply>, Status> {
        let request = *request.get_ref();
        let grace = Duration::from_millis(request.grace_millis.into());
        self.board.system("stopping", false);
        self.way_out.note(if request.reboot { WayOut::Reboot } else { WayOut::PowerOff });
        self.power.clone().begin(request.reboot, grace);
        Ok(Response::new(ShutdownReply {}))
    }

    async fn set_clock(&self, request: Request<SetClockRequest>) -> Result<Response<SetClockReply>, Status> {
        let is_ours = self.identity.lock().await.is_guest();
        let moved = clock::set(request.get_ref().clock_unix_nanos, is_ours)
            .map_err(|error| Status::internal(crate::console::chain(&error)))?;
        Ok(Response::new(SetClockReply { moved_nanos: moved }))
    }

    async fn listeners(&self, _: Request<ListenersRequest>) -> Result<Response<ListenersReply>, Status> {
        let listeners = beside(|| crate::listeners::list(Path::new(PROC))).await?;
        Ok(Response::new(ListenersReply { listeners }))
    }

    async fn stats(&self, _: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        Ok(Response::new(beside(|| stats::read(Path::new(PROC))).await?))
    }

    type ReadTreeStream = Replies<ReadTreeReply>;

    async fn read_tree(
        &self,
        request: Request<ReadTreeRequest>,
    ) -> Result<Response<Self::ReadTreeStream>, Status> {
        let replies = files::read(&self.commands.home_of_root(), request.into_inner()).await?;
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    async fn write_tree(
        &self,
        request: Request<Streaming<WriteTreeRequest>>,
    ) -> Result<Response<WriteTreeReply>, Status> {
        files::write(&self.commands.home_of_root(), request.into_inner()).await.map(Response::new)
    }
}

/// Runs work that may block on another thread than the runtime's, so that commands continue meanwhile.
async fn beside<T: Send + 'static, E: std::error::Error + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Status::internal(crate::console::chain(&error))),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
