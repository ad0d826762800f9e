//! What a guest may reach: policies, and the decisions that follow from them. `docs/network.md` describes the language.
//!
//! [`EgressPolicy`] is text and data. [`AddressClass`] says what an address is to a guest, and by it the host, its network and
//! everything that only looks like another address stay closed under every policy. Decisions are functions of the policy, the
//! [`HostFacts`] and the [`Attempt`]; nothing here looks anything up.

mod address_class;
mod decide;
mod embedding;
mod host_name;
mod host_pattern;
mod learn;
mod policy;
mod ports;
mod protocol;
mod refusal;
mod refusal_log;
mod request;
mod rule;
mod rule_text;

pub use address_class::{AddressClass, HostFacts};
pub use decide::{Attempt, Said, Verdict};
pub use host_name::{BadHostName, HostName};
pub use host_pattern::{BadHostPattern, HostPattern};
pub use learn::Learned;
pub use policy::{BadPolicy, EgressPolicy, POLICY_BYTES_MAX, PolicyFault, RULES_MAX};
pub use ports::{BadPorts, Ports};
pub use protocol::Protocol;
pub use refusal::{Attempted, Refusal};
pub use refusal_log::{REFUSALS_MAX, RefusalLog, RefusedAttempt};
pub use request::{PathPattern, RequestPath, Requests};
pub use rule::{Action, Rule, Service, Target, Transport};
pub use rule_text::BadRule;
