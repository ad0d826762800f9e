//! The processes beside Firecracker: what carries the machine's network, and the pager.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use banger_model::NetworkAttachment;
use banger_sys::companions::Companions;
use banger_sys::launch::{Inherited, Launch, Started, launch};
use banger_sys::process::ProcessIdentity;
use banger_sys::socket;

use super::confine::Ends;
use super::driver::Firecracker;
use super::pager;
use super::places::Places;
use super::plan::FirecrackerPlan;
use crate::contract::{NETWORK, StartError};
use crate::machine::append_log;

const PAGER: &str = "pager";

/// What runs beside a machine.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) companions: Companions,
    pub(super) ends: Ends,
    pub(super) pager: Option<ProcessIdentity>,
}

/// Starts what the machine needs beside it.
pub(super) fn start(driver: &Firecracker, plan: &FirecrackerPlan) -> Result<Beside, StartError> {
    let places = &plan.places;
    let mut beside = Beside::default();
    if plan.has_network {
        let errors = append_log(&places.network_log)?;
        let network = driver.network.launch(NetworkAttachment::Tap, &places.state, &errors)?;
        beside.companions.add(NETWORK, network.process);
        beside.ends.network = Some(network.socket.into());
    }
    if let Some(memory) = &plan.paged_memory {
        let errors = append_log(&places.error_log)?;
        let (process, lifeline) = start_pager(driver, memory, places, errors)?;
        beside.pager = Some(process.identity);
        beside.companions.add(PAGER, process);
        beside.ends.pager = Some(lifeline);
    }
    Ok(beside)
}

fn start_pager(
    driver: &Firecracker,
    memory: &Path,
    places: &Places,
    errors: File,
) -> Result<(Started, OwnedFd), StartError> {
    let failed = |source| StartError::Spawn { program: PAGER, source };
    let memory_file = File::open(memory).map_err(StartError::preparing(memory))?;
    let listener = socket::listen(&places.pager).map_err(StartError::preparing(&places.pager))?;
    let (lifeline, far_end) = UnixStream::pair().map_err(failed)?;
    let mut inherited = Inherited::default();
    let number = inherited.add(listener);
    let process = launch(Launch {
        program: driver.helper.clone(),
        directory: places.state.clone(),
        arguments: vec![pager::ARGUMENT.into(), number.to_string().into()],
        input: Some(far_end.into()),
        output: Some(memory_file.into()),
        errors,
        inherited,
    })
    .map_err(failed)?;
    Ok((process, lifeline.into()))
}
