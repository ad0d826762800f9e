//! Starts a machine, or makes one from a snapshot. Every process is killed on the way out until the machine stands: see
//! [`banger_sys::launch::Started`].

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use banger_sys::companions::Companions;
use banger_sys::files::{create_private_directory, remove_any};
use banger_sys::socket::listen_async;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;

use super::api::Api;
use super::beside::{self, Beside};
use super::config::{added_bytes, kernel_command_line};
use super::confine::{self, Confined};
use super::driver::Firecracker;
use super::host::Host;
use super::names::PROGRAM_NAME;
use super::places::Places;
use super::plan::FirecrackerPlan;
use super::stand::{leftovers, stand};
use super::{jail, metrics, orders, ready};
use crate::contract::{MachineHandle, MachinePlan, NETWORK, RestorePlan, StartError, VmmKind};
use crate::machine::{Listener, RunningMachine, clean_up, create_log, last_words};
use crate::{handle, plan_check};

/// Firecracker listens after a few milliseconds; a host that starts many at once takes its time.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// How long Firecracker may take to end once its API broke.
const END_DEADLINE: Duration = Duration::from_secs(1);

pub(super) async fn start(driver: &Firecracker, plan: &MachinePlan) -> Result<RunningMachine, StartError> {
    let command_line = kernel_command_line(plan, driver.tuning);
    plan_check::check(plan, &command_line, added_bytes(plan))?;
    in_a_jail_or_cell(driver, plan, None).await
}

pub(super) async fn restore(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: &RestorePlan,
) -> Result<RunningMachine, StartError> {
    plan_check::check_restore(plan, &[&from.snapshot.state, &from.snapshot.memory])?;
    in_a_jail_or_cell(driver, plan, Some(from)).await
}

/// Starts a machine in a jail where it is to have one; in its cell alone where that does not work and need not be.
async fn in_a_jail_or_cell(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
) -> Result<RunningMachine, StartError> {
    plan_check::require(driver.helper.is_file(), || {
        format!("the program `{}`, which isolates Firecracker, is missing", driver.helper.display())
    })?;
    let plan = FirecrackerPlan::resolve(driver, plan, from, &Host::look(driver, plan, from))?;
    let error = match run(driver, &plan).await {
        Ok(machine) => return Ok(machine),
        Err(error) => error,
    };
    match plan.without_jail() {
        Some(plan) if may_be_of_the_jail(&error) => {
            let warning = format!("Firecracker runs without its jailer: {error}");
            Ok(run(driver, &plan).await?.with_warning(warning))
        }
        Some(_) | None => Err(error),
    }
}

/// Tells whether what went wrong may go well without a jail.
fn may_be_of_the_jail(error: &StartError) -> bool {
    match error {
        StartError::Prepare { .. }
        | StartError::Spawn { .. }
        | StartError::Refused { .. }
        | StartError::PartRefused { .. }
        | StartError::Control { .. }
        | StartError::NotReady { .. } => true,
        StartError::Missing { .. }
        | StartError::BadPlan { .. }
        | StartError::TooOld { .. }
        | StartError::HostAddresses { .. }
        | StartError::NoSnapshots { .. } => false,
    }
}

/// Carries a plan out. Nothing is left of a failure.
async fn run(driver: &Firecracker, plan: &FirecrackerPlan) -> Result<RunningMachine, StartError> {
    let mut attempt = match make(driver, plan).await {
        Ok(attempt) => attempt,
        Err(error) => {
            let places = &plan.places;
            clean_up(&[], [places.leftovers(), vec![jail::directory(&places.state)]].concat()).await;
            return Err(error);
        }
    };
    match attempt.boot(plan).await {
        Ok(listener) => Ok(attempt.stand(driver, listener)),
        Err(error) => {
            attempt.undo().await;
            Err(error)
        }
    }
}

/// Makes the files and processes of a machine, up to a cell that waits to be let go.
async fn make(driver: &Firecracker, plan: &FirecrackerPlan) -> Result<Attempt, StartError> {
    let places = &plan.places;
    prepare_files(plan)?;
    let bell = listen_async(&places.bell).map_err(StartError::preparing(&places.bell))?;
    let Beside { companions, ends, pager } = beside::start(driver, plan)?;
    let appears = ready::watch_directory(&places.runtime).map_err(StartError::preparing(&places.runtime))?;
    let confined = confine::in_cell(driver, plan, ends).await?;
    let handle = MachineHandle {
        format_version: handle::FORMAT_VERSION,
        vm: plan.vm.clone(),
        vmm: VmmKind::Firecracker,
        process: confined.process.identity.into(),
        companions: companions.processes().map(Into::into).collect(),
        control_socket: places.control.clone(),
        channel_socket: places.channel.clone(),
        console_log: places.console_log.clone(),
        jail: plan.jail().map(|jail| jail.directory.clone()),
        pager: pager.map(Into::into),
    };
    let api = Api::new(&places.control, orders::REQUEST_DEADLINE);
    Ok(Attempt { confined, companions, handle, places: places.clone(), bell, api, appears })
}

fn prepare_files(plan: &FirecrackerPlan) -> Result<(), StartError> {
    let places = &plan.places;
    let older = [metrics::sum_file(&places.metrics), places.outbox.clone(), jail::directory(&places.state)];
    for older in places.sockets().into_iter().chain(older) {
        remove_any(&older).map_err(StartError::preparing(&older))?;
    }
    let mut console = create_log(&places.console_log)?;
    console.write_all(plan.console_head.as_bytes()).map_err(StartError::preparing(&places.console_log))?;
    // Firecracker makes its files only since 1.14, and in the cell it can make none beside its sockets.
    for log in [&places.error_log, &places.network_log, &places.vmm_log, &places.metrics] {
        create_log(log)?;
    }
    let made = create_private_directory(&places.outbox).map_err(io::Error::other);
    made.map_err(StartError::preparing(&places.outbox))
}

/// A machine that may not stand yet.
struct Attempt {
    confined: Confined,
    companions: Companions,
    handle: MachineHandle,
    places: Places,
    bell: UnixListener,
    api: Api,
    /// Tells of names that appear among the sockets.
    appears: AsyncFd<OwnedFd>,
}

impl Attempt {
    /// Lets Firecracker go, once `machine.json` tells of it, and gives it its orders. Tells what is known of the guest's agent by
    /// them.
    async fn boot(&mut self, plan: &FirecrackerPlan) -> Result<Listener, StartError> {
        handle::write(&self.places.state, &self.handle).await?;
        if self.confined.go().await.is_err() {
            // The cell could not be made after all, and has said why.
            let _ = tokio::time::timeout(END_DEADLINE, self.confined.process.ended()).await;
            return Err(self.refused());
        }
        self.wait_for_api().await?;
        let ordered = orders::give(&plan.orders, &self.api).await;
        self.judge(ordered).await
    }

    /// Waits until Firecracker takes requests.
    async fn wait_for_api(&mut self) -> Result<(), StartError> {
        let listening = ready::wait_for_listener(&self.places.control, &self.appears);
        tokio::select! {
            listening = tokio::time::timeout(READY_DEADLINE, listening) => match listening {
                Ok(Ok(())) => Ok(()),
                Ok(Err(source)) => Err(StartError::Control { program: PROGRAM_NAME, source: source.into() }),
                Err(_late) => Err(StartError::NotReady { program: PROGRAM_NAME, deadline: READY_DEADLINE }),
            },
            _ended = self.confined.process.ended() => Err(self.refused()),
        }
    }

    /// Finds out why an order was not carried out, and whether all that was started is still there.
    async fn judge(&mut self, ordered: Result<Listener, StartError>) -> Result<Listener, StartError> {
        let listener = match ordered {
            Ok(listener) => listener,
            // The API broke: Firecracker ends, now or in a moment, and has said why.
            Err(error @ StartError::Control { .. }) => {
                return match tokio::time::timeout(END_DEADLINE, self.confined.process.ended()).await {
                    Ok(_ended) => Err(self.refused()),
                    Err(_late) => Err(error),
                };
            }
            Err(error) => return Err(error),
        };
        // The network reads its options long before Firecracker answers: had it refused them, it would be gone.
        match self.companions.missing() {
            Some(program) => {
                let Places { network_log, error_log, .. } = &self.places;
                let log = if program == NETWORK { network_log } else { error_log };
                Err(StartError::Refused { program, stderr: last_words(log) })
            }
            None => Ok(listener),
        }
    }

    fn refused(&self) -> StartError {
        let words = [&self.places.error_log, &self.places.vmm_log].map(|log| last_words(log));
        let stderr = words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("\n");
        StartError::Refused { program: PROGRAM_NAME, stderr }
    }

    /// Ends all that was started, and removes what it left.
    async fn undo(self) {
        let Self { mut confined, companions, handle, places, .. } = self;
        drop(companions);
        confined.process.kill();
        // One that does not end is killed all the same: nobody waits longer for it.
        let _ = tokio::time::timeout(END_DEADLINE, confined.process.ended()).await;
        clean_up(&[], leftovers(&handle, &places)).await;
    }

    fn stand(self, driver: &Firecracker, listener: Listener) -> RunningMachine {
        let Self { confined, companions, handle, bell, .. } = self;
        companions.release();
        confined.undo.release();
        stand(driver, confined.process, handle, bell, listener)
    }
}
