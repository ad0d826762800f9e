//! The agent in a guest, which serves the host until the machine ends.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use banger_agent_proto::{SERIAL_PORT_NAME, sync::FLUSH_BYTES, way_out::WayOut};
use tokio::{io::AsyncWriteExt as _, sync::oneshot};

use crate::{
    channel::{Ports, serial_port, serial_port::SerialPort, session, vsock},
    console,
    control::{Control, Init, Power, ReadinessBoard, watch_systemd},
    exec::Commands,
    identity::Identity,
    invocation::{NO_INIT, Start},
    os::signal_from_init::SignalFromInit,
    respawn,
    stream_port::StreamPort,
    way_out::{SLICE_CGROUP, WayOutBoard},
};

/// The message from the agent to the first process once the guest has its identity.
pub const IDENTIFIED: &[u8] = b"identified\n";

const CGROUP_ROOT: &str = "/sys/fs/cgroup";
const CGROUP: &str = "/sys/fs/cgroup/banger";

/// The time that processes have to end when somebody in a guest without an init shuts it down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Pause before the next attempt if the channel's device fails.
const DEVICE_RETRY: Duration = Duration::from_secs(1);

/// Becomes the agent again; called when the kernel has seen the previous agent end.
#[must_use]
pub fn run_released() -> ExitCode {
    console::use_kernel_log();
    match respawn::become_agent() {
        Ok(never) => match never {},
        Err(error) => {
            console::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the agent. Returns only when the machine ends.
#[must_use]
pub fn run(init: &str, start: Start) -> ExitCode {
    console::use_kernel_log();
    let _place = respawn::take_place();
    // In a session of its own, it is not reached by any terminal or process group of the init.
    let _ = rustix::process::setsid();
    spare_from_memory_shortage();
    if start == Start::Again {
        console::warning("the agent was killed and is started again");
    }
    // If the first process is ours, it restarts the agent itself.
    if init != NO_INIT
        && let Err(error) = respawn::arm()
    {
        console::error(&error);
    }
    let program = (init != NO_INIT).then(|| PathBuf::from(init));
    let init = program.as_deref().map_or(Init::Ours, Init::of_program);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(init, program, start)),
        Err(error) => console::error(&error),
    }
    ExitCode::FAILURE
}

async fn serve(init: Init, program: Option<PathBuf>, start: Start) {
    let cgroup = match enter_cgroup() {
        Ok(()) => Some(PathBuf::from(CGROUP)),
        Err(error) => {
            console::warning(&format!("commands run without cgroups: {error}"));
            None
        }
    };
    // An init that cannot report its progress counts as started once it runs.
    let board = Arc::new(ReadinessBoard::new(init != Init::Systemd));
    if init == Init::Systemd {
        watch_systemd(Arc::clone(&board), start);
    }
    let way_out = Arc::new(WayOutBoard::new());
    watch_for_way_out(&way_out, init, program.as_deref());
    let told_before = matches!(init, Init::Systemd | Init::Ours).then(|| Arc::clone(&way_out));
    let (sender, identified) = oneshot::channel();
    let root = PathBuf::from("/");
    let commands = Arc::new(Commands::new(root.clone(), cgroup).with_init(init, program, told_before));
    if start == Start::Again
        && let Some(noted) = respawn::noted_identity()
    {
        commands.set_session_variables(noted.session_environment);
        commands.set_defaults(noted.process);
        board.identified();
    }
    let (power, told) = (Power::Machine(init), Arc::clone(&way_out));
    let control = Control::new(Arc::clone(&commands), board, Identity::of_guest(), power, told, sender);
    let ports = Ports::new(Arc::new(control), StreamPort::new(root, Arc::clone(&commands), way_out));
    tokio::spawn(async move {
        if let Ok(init_delay) = identified.await {
            let _ = tokio::time::timeout(init_delay, commands.one_ended()).await;
            let mut stdout = io::stdout();
            let _ =
                io::Write::write_all(&mut stdout, IDENTIFIED).and_then(|()| io::Write::flush(&mut stdout));
        }
    });
    vsock::listen(&ports);
    serve_serial(&ports, start).await;
}

fn watch_for_way_out(board: &Arc<WayOutBoard>, init: Init, program: Option<&Path>) {
    match SignalFromInit::listen() {
        Ok(signal) => {
            let board = Arc::clone(board);
            tokio::spawn(async move {
                match board.hear_init(&signal, init == Init::Ours).await {
                    // Ours leaves the shutdown to the agent; any other one is at it.
                    Ok(way) if init == Init::Ours => {
                        Power::Machine(init).begin(way == WayOut::Reboot, SHUTDOWN_GRACE);
                    }
                    Ok(_) => {}
                    Err(error) => console::error(&error),
                }
            });
        }
        Err(error) => console::error(&error),
    }
    if let (Init::Systemd, Some(program)) = (init, program) {
        let (slice, board, program) = (Arc::clone(board), Arc::clone(board), program.to_owned());
        tokio::spawn(async move { slice.watch_slice(Path::new(SLICE_CGROUP)).await });
        tokio::spawn(async move { board.watch_systemd(&program).await });
    }
}

/// Serves the serial channel for ever, one host after another.
async fn serve_serial(ports: &Ports, start: Start) {
    let Some(device) = serial_port::find(SERIAL_PORT_NAME) else {
        return std::future::pending().await;
    };
    let mut is_unheard = start == Start::Again;
    loop {
        let mut port = match SerialPort::open(&device) {
            Ok(port) => port,
            Err(error) => {
                console::error(&error);
                tokio::time::sleep(DEVICE_RETRY).await;
                continue;
            }
        };
        // The host does not notice that an agent has ended: it stays in the session with the previous one. Bytes that are
        // not a frame make it begin a new session.
        if is_unheard && port.write_all(&vec![b'\n'; FLUSH_BYTES]).await.is_ok() {
            is_unheard = false;
        }
        // An end means that the host went away; the next read waits for the next host.
        while session::serve(&mut port, ports).await.is_ok() {}
    }
}

/// A cgroup beside those of the init, so that the init neither moves nor ends the processes in it.
fn enter_cgroup() -> io::Result<()> {
    if !Path::new(CGROUP_ROOT).join("cgroup.procs").exists() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let own = Path::new(CGROUP).join("agent");
    fs::create_dir_all(&own)?;
    fs::write(own.join("cgroup.procs"), "0")
}

/// Without the agent, the host cannot reach the guest.
fn spare_from_memory_shortage() {
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
}
