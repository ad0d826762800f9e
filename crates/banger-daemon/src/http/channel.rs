//! Streams to a guest: the request is upgraded, then bytes are spliced and not looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use banger_agent_proto::{CONTROL_PORT, STREAM_PORT};
use banger_api::{CHANNEL_PROTOCOL, ChannelQuery, ErrorBody, ErrorCode, route};
use banger_model::VmRef;
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::connections::Patience;
use super::extract::{Parameters, Segment};
use super::refusal::Refusal;
use super::state::ApiState;

/// Bytes per direction that are under way inside the daemon.
const SPLICE_BYTES: usize = 64 * 1024;

#[utoipa::path(get, path = route::OPEN_VM_CHANNEL.template, operation_id = "open_vm_channel", params(("vm" = VmRef, Path), ChannelQuery), responses((status = 101), (status = 409, body = ErrorBody)))]
pub(super) async fn open(
    State(state): State<ApiState>,
    Extension(patience): Extension<Patience>,
    Segment(vm): Segment<VmRef>,
    Parameters(query): Parameters<ChannelQuery>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    check(&request, query.port)?;
    let (mut guest, in_use) = state.vms.doors.connect(&vm, query.port).await?;
    patience.grant();
    let upgrade = hyper::upgrade::on(&mut request);
    let open = OpenStream::count(&state.streams);
    state.supervisor.spawn("guest stream", async move {
        let _open = (open, in_use);
        let client = match upgrade.await {
            Ok(client) => client,
            Err(error) => return debug!(%error, "client went away before its stream began"),
        };
        let mut client = TokioIo::new(client);
        let spliced =
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut guest, SPLICE_BYTES, SPLICE_BYTES);
        if let Err(error) = spliced.await {
            debug!(%error, "guest stream broke");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(CHANNEL_PROTOCOL));
    Ok(response)
}

fn check(request: &Request<Body>, port: u32) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal(ErrorBody::new(ErrorCode::BadRequest, message)));
    if request.headers().get(header::UPGRADE).is_none_or(|protocol| protocol != CHANNEL_PROTOCOL) {
        return refuse(format!("this route needs the header `Upgrade: {CHANNEL_PROTOCOL}`"));
    }
    if port != CONTROL_PORT && port != STREAM_PORT {
        return refuse(format!(
            "the guest's agent has the ports {CONTROL_PORT} and {STREAM_PORT}, not {port}"
        ));
    }
    Ok(())
}

/// One open stream; dropping it counts it off.
struct OpenStream(Arc<AtomicUsize>);

impl OpenStream {
    fn count(streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
