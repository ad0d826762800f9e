//! Names by which Firecracker's files and processes are known, here and to those who look for them.

/// Name of Firecracker's program, and of its process.
pub const PROGRAM_NAME: &str = "firecracker";

/// Name of the jailer's program, which comes with Firecracker in one archive.
pub const JAILER_NAME: &str = "jailer";

/// Name of Firecracker's own log, beside the console log.
pub(crate) const LOG_FILE: &str = "firecracker.log";

/// What this program's command line begins with when it becomes a cell. The VM's id follows, as it does behind
/// Firecracker's own `--id`: that is how the process is known before and after.
pub(crate) const CELL_ARGUMENT: &str = "cell";

/// What this program's command line begins with when it joins a cell that runs, to make its network anew. Firecracker's process
/// and start time follow, and the largest packet of the network.
pub(crate) const JOIN_ARGUMENT: &str = "cell-network";

/// What a console log begins with when there is no console.
pub(crate) const NO_CONSOLE: &str = "This guest has no serial console, which makes it start faster. To see what it writes, set \
                          `serial_console = true` under `[firecracker]` in the configuration and start it again.\n";
