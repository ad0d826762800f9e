//! What every VMM driver does, in the words of the product.

mod error;
mod handle;
mod kind;
mod machine;
mod network;
mod plan;
mod snapshot;
mod stats;
mod vmm;

pub use error::*;
pub use handle::*;
pub use kind::*;
pub use machine::*;
pub use network::*;
pub use plan::*;
pub use snapshot::*;
pub use stats::*;
pub use vmm::*;
