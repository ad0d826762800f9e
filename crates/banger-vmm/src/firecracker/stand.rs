//! A machine that stands: taken over, or just started. What is done for it for as long as it is held.

use std::path::PathBuf;
use std::time::Duration;

use banger_sys::launch::Started;
use banger_sys::process::ProcessIdentity;
use banger_sys::socket::listen_async;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::control::FirecrackerControl;
use super::driver::Firecracker;
use super::network::Restart;
use super::places::Places;
use super::{bell, failed_writes, jail_host, metrics};
use crate::contract::{AdoptError, Machine as _, MachineHandle};
use crate::machine::{Listener, Presence, RunningMachine};

/// How often what Firecracker has counted is added up, so that its file stays small: it grows by a line a minute.
const METRICS_PERIOD: Duration = Duration::from_secs(600);

pub(super) async fn adopt(
    driver: &Firecracker,
    handle: &MachineHandle,
) -> Result<Option<RunningMachine>, AdoptError> {
    let places = Places::of_handle(handle);
    let failed = |source| AdoptError::Open { vm: handle.vm.clone(), source };
    let bell = watch::Sender::new(Listener::Unknown);
    let control = Box::new(FirecrackerControl::new(handle, bell.clone()));
    let answering = bell::answer(listen_async(&places.bell).map_err(failed)?, bell.clone());
    let adopted =
        RunningMachine::adopt(handle, leftovers(handle, &places), control, Presence::Rung(bell)).await?;
    Ok(adopted.map(|machine| attend(machine, driver, &places, answering)))
}

/// Makes a machine of a process that was just started. The agent rings on the socket.
pub(super) fn stand(
    driver: &Firecracker,
    process: Started,
    handle: MachineHandle,
    bell_socket: UnixListener,
    listener: Listener,
) -> RunningMachine {
    let places = Places::of_handle(&handle);
    let bell = watch::Sender::new(listener);
    let answering = bell::answer(bell_socket, bell.clone());
    let control = Box::new(FirecrackerControl::new(&handle, bell.clone()));
    let leftovers = leftovers(&handle, &places);
    let machine = RunningMachine::of_started(handle, process, leftovers, control, Presence::Rung(bell));
    attend(machine, driver, &places, answering)
}

/// What goes with a machine.
pub(super) fn leftovers(handle: &MachineHandle, places: &Places) -> Vec<PathBuf> {
    let mut all = places.leftovers();
    all.extend(jail_host::leftovers(handle));
    all
}

/// Adds what is done for a machine for as long as it is held.
fn attend(
    machine: RunningMachine,
    driver: &Firecracker,
    places: &Places,
    answering: AbortOnDropHandle<()>,
) -> RunningMachine {
    let restart = Restart::new(driver, machine.handle(), places);
    let (process, pager) = (machine.handle().process, machine.handle().pager);
    let machine = machine
        .with_network(Some(Box::new(restart)))
        .with_task(answering)
        .with_log(places.vmm_log.clone())
        .with_disk_watch(failed_writes::watch(places.vmm_log.clone()))
        .with_task(add_up_metrics(places.clone()));
    match pager {
        Some(pager) => machine.with_task(end_without(pager.into(), process.into())),
        None => machine,
    }
}

fn add_up_metrics(places: Places) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        // Not at once: a machine that is removed right after its start would find its directory written to.
        let mut ticks = tokio::time::interval_at(Instant::now() + METRICS_PERIOD, METRICS_PERIOD);
        loop {
            ticks.tick().await;
            let path = places.metrics.clone();
            let read = tokio::task::spawn_blocking(move || metrics::read(&path, false).map(drop)).await;
            if let Ok(Err(error)) = read {
                warn!(path = %places.metrics.display(), %error, "cannot add up what Firecracker has counted");
            }
        }
    }))
}

/// Ends a machine whose pager has gone: its guest stands still for ever.
fn end_without(pager: ProcessIdentity, machine: ProcessIdentity) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let gone = match pager.open() {
            Ok(Some(process)) => process.ended().await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match gone {
            Ok(()) => {
                warn!(pid = machine.pid, "the machine's pager has ended, so the machine is ended");
                if let Err(error) = machine.kill() {
                    warn!(pid = machine.pid, %error, "cannot end a machine without its pager");
                }
            }
            Err(error) => warn!(pid = pager.pid, %error, "cannot watch a pager"),
        }
    }))
}
