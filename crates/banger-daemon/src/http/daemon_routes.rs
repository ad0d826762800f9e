//! The daemon itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use banger_api::{
    API_VERSION, DaemonInfo, DoctorReport, ErrorBody, ErrorCode, ServiceInfo, ShutdownQuery, VmDefaults,
    route,
};
use banger_model::{DiskFloor, Hint, count};
use tracing::info;

use super::extract::Parameters;
use super::refusal::Refusal;
use super::state::ApiState;
use super::views;

#[utoipa::path(get, path = route::SHOW_SERVICE.template, operation_id = "show_service", responses((status = 200, body = ServiceInfo)))]
pub(super) async fn service() -> Json<ServiceInfo> {
    Json(ServiceInfo {
        name: "bangerd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        document: route::SHOW_DOCUMENT.template.to_owned(),
    })
}

#[utoipa::path(get, path = route::SHOW_INFO.template, operation_id = "show_info", responses((status = 200, body = DaemonInfo)))]
pub(super) async fn info(State(state): State<ApiState>) -> Json<DaemonInfo> {
    Json(DaemonInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_version: API_VERSION,
        pid: std::process::id(),
        started_at: state.program.started_at(),
        is_outdated: state.program.is_outdated(),
        work_in_progress: work_in_progress(&state),
        resident_bytes: state.program.resident_bytes(),
        disk_floor_bytes: match state.config.disk_floor {
            DiskFloor::Share => None,
            DiskFloor::Bytes(bytes) => Some(bytes),
        },
    })
}

#[utoipa::path(get, path = route::SHOW_DEFAULTS.template, operation_id = "show_defaults", responses((status = 200, body = VmDefaults)))]
pub(super) async fn defaults(State(state): State<ApiState>) -> Json<VmDefaults> {
    Json(VmDefaults {
        image: state.config.default_image.clone(),
        vcpus: state.config.vcpus,
        memory_mib: state.config.memory,
        disk_bytes: state.config.disk,
    })
}

#[utoipa::path(get, path = route::SHOW_DOCTOR.template, operation_id = "show_doctor", responses((status = 200, body = DoctorReport)))]
pub(super) async fn doctor(State(state): State<ApiState>) -> Result<Json<DoctorReport>, Refusal> {
    let doctor = Arc::clone(&state.doctor);
    let examined = tokio::task::spawn_blocking(move || doctor.examine()).await;
    examined.map(views::report).map(Json).map_err(|error| Refusal(ErrorBody::internal(&error)))
}

#[utoipa::path(post, path = route::SHUT_DOWN.template, operation_id = "shutdown", params(ShutdownQuery), responses((status = 200), (status = 409, body = ErrorBody)))]
pub(super) async fn shutdown(
    State(state): State<ApiState>,
    Parameters(query): Parameters<ShutdownQuery>,
) -> Result<Json<()>, Refusal> {
    if work_in_progress(&state) > 0 && !query.force {
        let message = format!("the daemon is at work: {}", work(&state));
        let error = ErrorBody::new(ErrorCode::OperationFailed, message).with_hint(Hint::StopDaemon);
        return Err(Refusal(error));
    }
    info!(force = query.force, "shutdown was asked for");
    state.shutdown.cancel();
    Ok(Json(()))
}

/// Returns what is at work, as in `1 operation and 2 open streams`.
fn work(state: &ApiState) -> String {
    let operations = state.operations.count_running();
    let streams = state.streams.load(Ordering::Relaxed);
    let parts = [("operation", operations), ("open stream", streams)];
    let parts = parts.into_iter().filter(|(_, number)| *number > 0);
    parts.map(|(thing, number)| count(thing, number)).collect::<Vec<_>>().join(" and ")
}

fn work_in_progress(state: &ApiState) -> u32 {
    let count = state.operations.count_running() + state.streams.load(Ordering::Relaxed);
    u32::try_from(count).unwrap_or(u32::MAX)
}
