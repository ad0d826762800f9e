//! Runs scenarios, each in a process of its own with an output of its own, several at once, the long ones first, and reports
//! the results.
//!
//! ```text
//! choose ─▶ schedule ─▶ pool: pure scenarios side by side, the repodir chain as one of them
//!                       then: global scenarios, one after the other
//!           run one  ─▶ its process, its deadline ─▶ evidence of a failure ─▶ its homes are cleared
//!           report   ─▶ lines, summary, JUnit
//! ```

mod choose;
mod evidence;
mod interrupt;
mod process;
mod report;
mod scenario;
mod schedule;
mod suite;

pub use scenario::{Class, Missing, Need, Scenario};
pub use suite::{Suite, shared_directory};
