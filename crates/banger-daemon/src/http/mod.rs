//! The daemon's HTTP API on its Unix socket: one line per route, errors as [`banger_api::ErrorBody`].

mod channel;
mod connections;
mod daemon_routes;
mod document;
mod event_routes;
mod extract;
mod image_routes;
mod kernel_routes;
mod listener;
mod operation_routes;
mod refusal;
mod request_rules;
mod requests;
mod router;
mod serve;
mod state;
mod views;
mod vm_routes;

pub use listener::{PrivateListener, Renewal};
pub use router::{api_document, router};
pub use serve::serve;
pub use state::ApiState;
