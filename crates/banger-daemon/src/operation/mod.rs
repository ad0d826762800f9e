//! Long work. Each mutation is an operation with an id that is minted when it begins; it goes on when the client goes
//! away, tells its stages to whoever asks, and can be cancelled.
//!
//! ```text
//! Running ──work ends──▶ Succeeded | Failed
//!    │cancel
//!    ▼
//! Cancelling ──undo ends──▶ Cancelled   (or Succeeded, when it was done already)
//! ```

mod id;
mod registry;
mod request_key;
mod status;
mod task;

pub(crate) use id::{current as current_id, within_new};
pub use registry::Operations;
pub use request_key::{KeyReused, RequestKey};
pub use status::{OperationStatus, Stage, StagePart};
pub use task::{Cancelled, OperationTask};
