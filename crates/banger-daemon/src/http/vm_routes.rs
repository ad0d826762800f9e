//! VMs.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use banger_api::{
    CreateVm, DeleteVm, EndingQuery, EndingView, ErrorBody, KillVm, ListQuery, ListenerView, LogsQuery,
    OperationView, SetVm, SshAccess, StartVm, StatsQuery, StopVm, VmStats, VmView, route,
};
use banger_model::VmRef;
use futures::stream;

use super::connections::Patience;
use super::extract::{Body, Parameters, Segment};
use super::refusal::Refusal;
use super::state::ApiState;
use super::{requests, views};
use crate::operation::OperationStatus;
use crate::vm::VmError;

type Answer<T> = Result<Json<T>, Refusal>;

#[utoipa::path(get, path = route::LIST_VMS.template, operation_id = "list_vms", params(ListQuery), responses((status = 200, body = Vec<VmView>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Response, Refusal> {
    let vms = views::VmListView(state.vms.views.list()?);
    if !query.pretty {
        return Ok(Json(vms).into_response());
    }
    let mut text = serde_json::to_vec_pretty(&vms).map_err(|error| Refusal(ErrorBody::internal(&error)))?;
    text.push(b'\n');
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

#[utoipa::path(post, path = route::CREATE_VM.template, operation_id = "create_vm", request_body = CreateVm, responses((status = 200, body = OperationView), (status = 409, body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    Body(request): Body<CreateVm>,
) -> Answer<OperationView> {
    let request = requests::new_vm(request, &state.config.default_image)?;
    begun(state.vms.lifecycle.create(request))
}

#[utoipa::path(get, path = route::SHOW_VM.template, operation_id = "show_vm", params(("vm" = VmRef, Path)), responses((status = 200, body = VmView), (status = 404, body = ErrorBody)))]
pub(super) async fn show(State(state): State<ApiState>, Segment(vm): Segment<VmRef>) -> Answer<VmView> {
    Ok(Json(views::vm(&state.vms.views.show(&vm)?)))
}

#[utoipa::path(post, path = route::START_VM.template, operation_id = "start_vm", params(("vm" = VmRef, Path)), request_body = StartVm, responses((status = 200, body = OperationView)))]
pub(super) async fn start(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Body(request): Body<StartVm>,
) -> Answer<OperationView> {
    begun(state.vms.lifecycle.start(&vm, request.wait))
}

#[utoipa::path(post, path = route::STOP_VM.template, operation_id = "stop_vm", params(("vm" = VmRef, Path)), request_body = StopVm, responses((status = 200, body = OperationView)))]
pub(super) async fn stop(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Body(request): Body<StopVm>,
) -> Answer<OperationView> {
    begun(state.vms.lifecycle.stop(&vm, grace(&request)))
}

#[utoipa::path(post, path = route::RESTART_VM.template, operation_id = "restart_vm", params(("vm" = VmRef, Path)), request_body = StopVm, responses((status = 200, body = OperationView)))]
pub(super) async fn restart(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Body(request): Body<StopVm>,
) -> Answer<OperationView> {
    begun(state.vms.lifecycle.restart(&vm, grace(&request)))
}

#[utoipa::path(post, path = route::KILL_VM.template, operation_id = "kill_vm", params(("vm" = VmRef, Path)), request_body = KillVm, responses((status = 200, body = OperationView)))]
pub(super) async fn kill(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Body(request): Body<KillVm>,
) -> Answer<OperationView> {
    begun(state.vms.lifecycle.kill(&vm, request.signal))
}

#[utoipa::path(post, path = route::DELETE_VM.template, operation_id = "delete_vm", params(("vm" = VmRef, Path)), request_body = DeleteVm, responses((status = 200, body = OperationView)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Body(request): Body<DeleteVm>,
) -> Answer<OperationView> {
    let lifecycle = &state.vms.lifecycle;
    begun(if request.only_stopped { lifecycle.delete_stopped(&vm) } else { lifecycle.delete(&vm) })
}

#[utoipa::path(post, path = route::SET_VM.template, operation_id = "set_vm", params(("vm" = VmRef, Path)), request_body = SetVm, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn set(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Body(request): Body<SetVm>,
) -> Answer<OperationView> {
    begun(state.vms.lifecycle.set(&vm, requests::change(request)))
}

#[utoipa::path(post, path = route::TOUCH_VM.template, operation_id = "touch_vm", params(("vm" = VmRef, Path)), responses((status = 200, body = OperationView)))]
pub(super) async fn touch(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
) -> Answer<OperationView> {
    begun(state.vms.lifecycle.touch(&vm))
}

#[utoipa::path(get, path = route::LIST_VM_PORTS.template, operation_id = "list_vm_ports", params(("vm" = VmRef, Path)), responses((status = 200, body = Vec<ListenerView>), (status = 409, body = ErrorBody)))]
pub(super) async fn ports(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
) -> Answer<Vec<ListenerView>> {
    Ok(Json(state.vms.doors.listeners(&vm).await?.into_iter().map(views::listener).collect()))
}

#[utoipa::path(get, path = route::SHOW_VM_STATS.template, operation_id = "show_vm_stats", params(("vm" = VmRef, Path), StatsQuery), responses((status = 200, body = VmStats), (status = 404, body = ErrorBody)))]
pub(super) async fn stats(
    State(state): State<ApiState>,
    Segment(vm): Segment<VmRef>,
    Parameters(query): Parameters<StatsQuery>,
) -> Answer<VmStats> {
    Ok(Json(views::vm_stats(state.vms.doors.stats(&vm, query.host_only).await?)))
}

#[utoipa::path(get, path = route::SHOW_VM_SSH.template, operation_id = "show_vm_ssh", params(("vm" = VmRef, Path)), responses((status = 200, body = SshAccess)))]
pub(super) async fn ssh(State(state): State<ApiState>, Segment(vm): Segment<VmRef>) -> Answer<SshAccess> {
    Ok(Json(views::ssh_access(state.vms.doors.ssh_access(&vm)?)))
}

/// `vm` is an id: the VM may be gone.
#[utoipa::path(get, path = route::SHOW_VM_ENDING.template, operation_id = "show_vm_ending", params(("vm" = String, Path), EndingQuery), responses((status = 200, body = Option<EndingView>)))]
pub(super) async fn ending(
    State(state): State<ApiState>,
    Segment(vm): Segment,
    Parameters(query): Parameters<EndingQuery>,
) -> Answer<Option<EndingView>> {
    Ok(Json(state.vms.endings.ending(&vm, &query.boot_id).await.map(views::ending)))
}

#[utoipa::path(get, path = route::SHOW_VM_LOGS.template, operation_id = "show_vm_logs", params(("vm" = VmRef, Path), LogsQuery), responses((status = 200, body = String, content_type = "application/octet-stream")))]
pub(super) async fn logs(
    State(state): State<ApiState>,
    Extension(patience): Extension<Patience>,
    Segment(vm): Segment<VmRef>,
    Parameters(query): Parameters<LogsQuery>,
) -> Result<Response, Refusal> {
    patience.grant();
    let doors = &state.vms.doors;
    let readers = match (query.vmm, query.command) {
        (true, _) => doors.vmm_logs(&vm)?,
        (false, true) => vec![doors.command_output(&vm)?],
        (false, false) => vec![doors.console(&vm)?],
    };
    let shutdown = state.shutdown.clone();
    let chunks = stream::try_unfold(VecDeque::from(readers), move |mut readers| {
        let shutdown = shutdown.clone();
        async move {
            while let Some(reader) = readers.front_mut() {
                let chunk = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => None,
                    chunk = reader.next(query.follow) => chunk?,
                };
                if let Some(chunk) = chunk {
                    return Ok::<_, std::io::Error>(Some((chunk, readers)));
                }
                readers.pop_front();
            }
            Ok(None)
        }
    });
    Ok(([(CONTENT_TYPE, "application/octet-stream")], ResponseBody::from_stream(chunks)).into_response())
}

/// Answers with the operation that has begun.
fn begun(operation: Result<OperationStatus, VmError>) -> Answer<OperationView> {
    Ok(Json(views::operation(operation?)))
}

/// How long the guest gets to stop, if the request says so.
fn grace(request: &StopVm) -> Option<Duration> {
    request.grace_secs.map(|secs| Duration::from_secs(secs.into()))
}
