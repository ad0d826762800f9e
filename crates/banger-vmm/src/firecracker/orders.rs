//! What Firecracker is told once it listens.

use std::time::Duration;

use tracing::warn;

use super::api::{Action, Api, ApiError};
use super::config::Part;
use super::names::PROGRAM_NAME;
use super::plan::{Load, Orders};
use super::version::{OLDEST_TEXT, Version};
use crate::contract::StartError;
use crate::machine::Listener;

/// How long a request may take: the start reads the kernel, and all of a snapshot's state.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// Gives the orders, and tells what is known of the guest's agent by them.
pub(super) async fn give(orders: &Orders, api: &Api) -> Result<Listener, StartError> {
    let version = check_version(api).await?;
    match orders {
        Orders::Boot(parts) => boot(parts, api).await,
        Orders::Load(load) => self::load(*load, version, api).await,
    }
}

async fn boot(parts: &[Part], api: &Api) -> Result<Listener, StartError> {
    for part in parts {
        let put = api.put(&part.path, &part.body).await;
        put.map_err(|error| refusal(error, &part.what))?;
    }
    let started = api.put("/actions", &Action::InstanceStart).await;
    started.map(|()| Listener::Unknown).map_err(|error| refusal(error, "start"))
}

async fn load(load: Load, version: Version, api: &Api) -> Result<Listener, StartError> {
    let loaded = api.put("/snapshot/load", &load.request(version)).await;
    let loses_streams = version.loses_streams_after_a_snapshot();
    let listener = if loses_streams { Listener::LosesStreams } else { Listener::Unknown };
    loaded.map(|()| listener).map_err(|error| refusal(error, "snapshot"))
}

async fn check_version(api: &Api) -> Result<Version, StartError> {
    let version = api.version().await.map_err(|error| refusal(error, "version"))?;
    if version.is_too_old() {
        let found = version.to_string();
        return Err(StartError::TooOld { program: PROGRAM_NAME, found, minimum: OLDEST_TEXT });
    }
    if version.is_untested() {
        warn!(%version, "this Firecracker is newer than the newest tested version");
    }
    Ok(version)
}

/// Says what Firecracker does not take, in the plan's words.
fn refusal(error: ApiError, part: &str) -> StartError {
    match error {
        ApiError::Refused { reason, .. } => {
            StartError::PartRefused { program: PROGRAM_NAME, part: part.to_owned(), reason }
        }
        ApiError::Silent { deadline, .. } => StartError::NotReady { program: PROGRAM_NAME, deadline },
        error @ (ApiError::Connect(_)
        | ApiError::TooLong { .. }
        | ApiError::Encode { .. }
        | ApiError::Broken { .. }
        | ApiError::BadAnswer { .. }) => {
            StartError::Control { program: PROGRAM_NAME, source: Box::new(error) }
        }
    }
}
