//! `bangerd`: started by `banger` when nobody listens on the daemon's socket; ends when told to.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{FromRawFd as _, RawFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use banger_daemon::daemon_log::LineLog;
use banger_daemon::fault::chain;
use banger_daemon::wiring::{Daemon, DaemonError};
use banger_sys::paths::Paths;
use banger_sys::shortage;
use clap::Parser;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// How long threads may go on when the daemon ends.
const THREADS_DEADLINE: Duration = Duration::from_secs(1);

/// Run the banger daemon
///
/// `banger` starts it by itself; nobody needs to call it by hand.
#[derive(Parser)]
#[command(name = "bangerd", version, after_help = "Example: bangerd")]
struct Arguments {
    /// Write `ready` or `error: <why>` to this inherited descriptor
    #[arg(long, value_name = "N")]
    ready_fd: Option<RawFd>,
}

fn main() -> ExitCode {
    // The same program is what runs beside a machine: processes of their own, started by the VMM driver.
    let words = || std::env::args_os().skip(1);
    if let Some(code) = banger_vmm::role::play(words()).or_else(|| banger_net::role::play(words())) {
        return code;
    }
    keep_memory_small();
    let open_files_max = shortage::raise_file_limit();
    let arguments = Arguments::parse();
    let mut ready = Announcer::new(arguments.ready_fd);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match run(&mut ready, open_files_max) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = chain(error.as_ref());
            error!(error = text, "daemon ends");
            ready.announce(&format!("error: {text}"));
            eprintln!("bangerd: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the allocator give memory back: by default it keeps an arena per thread and, after one large buffer was freed,
/// megabytes for the next. Source: `mallopt(3)`.
#[expect(unsafe_code, reason = "mallopt(3) has no safe wrapper")]
fn keep_memory_small() {
    const BLOCK_BYTES: libc::c_int = 128 * 1024;
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, BLOCK_BYTES), (libc::M_TRIM_THRESHOLD, BLOCK_BYTES)]
    {
        // SAFETY: called before any other thread exists; the parameters are numbers.
        unsafe { libc::mallopt(parameter, value) };
    }
}

fn run(ready: &mut Announcer, open_files_max: Option<u64>) -> Result<(), Box<dyn Error>> {
    let paths = Paths::from_environment()?;
    let lock = Daemon::take_place(&paths)?;
    start_log(&paths.daemon_log())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let daemon = Daemon::build(paths, lock).await?;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            pid = std::process::id(),
            open_files_max,
            "daemon is ready"
        );
        ready.announce("ready");
        daemon.serve().await;
        Ok::<(), DaemonError>(())
    });
    // What still computes or waits for a tool must not hold up the end: the next daemon removes what it leaves.
    runtime.shutdown_timeout(THREADS_DEADLINE);
    served?;
    info!("daemon ends");
    Ok(())
}

fn start_log(path: &Path) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::Log { path: path.to_owned(), source };
    let log = LineLog::open(path).map_err(failed)?;
    log.take_last_words().map_err(failed)?;
    let level = std::env::var("BANGER_LOG_LEVEL").unwrap_or_else(|_unset| "info".to_owned());
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_bad| EnvFilter::new("info"));
    // A line that the disk does not take is lost; to complain of it on stderr would be a panic where that is closed.
    tracing_subscriber::fmt()
        .json()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(Mutex::new(log))
        .init();
    Ok(())
}

/// Tells the starter how it went, once.
struct Announcer(Option<File>);

impl Announcer {
    #[expect(unsafe_code, reason = "an inherited descriptor is known by its number only")]
    fn new(descriptor: Option<RawFd>) -> Self {
        // SAFETY: the caller of this program hands the descriptor over and nobody else here uses it.
        Self(descriptor.filter(|number| *number > 2).map(|number| unsafe { File::from_raw_fd(number) }))
    }

    fn announce(&mut self, line: &str) {
        if let Some(mut file) = self.0.take() {
            // A starter that has gone away does not want to know.
            let _ = writeln!(file, "{line}");
        }
    }
}
