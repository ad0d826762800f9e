//! A guest for tests: the agent on an ordinary machine, below a directory.
//!
//! `DIR/channel.sock` speaks `CONNECT <port>\n` like the channel's host side; `DIR/serial.sock` carries the bytes of the
//! serial port (handshake and yamux), one host at a time. Commands run for real, as the user who started it. The identity
//! becomes files below the root (default `DIR/root`); name, network, clock and power of the machine stay unchanged, and
//! `Shutdown` ends the process. `DIR/up` stands for the cgroup that is removed first when a guest shuts down: making and
//! then removing the directory begins a shutdown, and making it again takes that back.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use tokio::{net::UnixListener, sync::oneshot};

use crate::{
    channel::{Ports, greet, session},
    console,
    control::{Control, Power, ReadinessBoard},
    exec::Commands,
    identity::Identity,
    stream_port::StreamPort,
    way_out::WayOutBoard,
};

/// Serves until `Shutdown`.
#[must_use]
pub fn run(directory: &Path, root: Option<PathBuf>) -> ExitCode {
    let root = std::path::absolute(root.unwrap_or_else(|| directory.join("root")));
    let root = match root {
        Ok(root) => root,
        Err(error) => {
            console::error(&error);
            return ExitCode::FAILURE;
        }
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(directory, root)));
    if let Err(error) = outcome {
        console::error(&error);
    }
    ExitCode::FAILURE
}

/// Returns the ports of a guest whose root is this directory.
pub fn ports(root: &Path) -> io::Result<Ports> {
    ports_of(root, Arc::new(WayOutBoard::new()))
}

fn ports_of(root: &Path, way_out: Arc<WayOutBoard>) -> io::Result<Ports> {
    std::fs::create_dir_all(root.join("root"))?;
    let board = Arc::new(ReadinessBoard::new(true));
    let commands = Arc::new(Commands::new(root.to_owned(), None));
    let (sender, _nobody_waits) = oneshot::channel();
    let identity = Identity::of_directory(root.to_owned());
    let (power, told) = (Power::Process, Arc::clone(&way_out));
    let control = Control::new(Arc::clone(&commands), board, identity, power, told, sender);
    Ok(Ports::new(Arc::new(control), StreamPort::new(PathBuf::from("/"), commands, way_out)))
}

async fn serve(directory: &Path, root: PathBuf) -> io::Result<()> {
    let way_out = Arc::new(WayOutBoard::new());
    let ports = ports_of(&root, Arc::clone(&way_out))?;
    let up = directory.join("up");
    tokio::spawn(async move { way_out.watch_slice(&up).await });
    let serial = listen(&directory.join("serial.sock"))?;
    let channel = listen(&directory.join("channel.sock"))?;
    let serial_ports = ports.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = serial.accept().await {
            let _ = session::serve(&mut stream, &serial_ports).await;
        }
    });
    loop {
        let (stream, _) = channel.accept().await?;
        tokio::spawn(greet(stream, ports.clone()));
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path)
}
