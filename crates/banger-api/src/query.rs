//! What can be asked behind a path's question mark.

use serde::{Deserialize, Serialize};

/// A query of a route. Only plain values stand in one.
pub trait Query: Serialize {
    /// Returns it as it stands in a path; empty where it asks nothing.
    fn to_text(&self) -> String;
}

#[expect(clippy::expect_used, reason = "a structure of plain values can be written as a query")]
fn text_of(query: &impl Serialize) -> String {
    serde_urlencoded::to_string(query).expect("its values are plain")
}

macro_rules! queries {
    ($($name:ident),*) => {$(
        impl Query for $name {
            fn to_text(&self) -> String {
                text_of(self)
            }
        }
    )*};
}

queries!(
    ShutdownQuery,
    DeleteKernelQuery,
    ListQuery,
    LogsQuery,
    EndingQuery,
    StatsQuery,
    ChannelQuery,
    EventsQuery,
    OperationQuery
);

/// Of the end of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ShutdownQuery {
    /// Also while work is in progress: it is cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// Of the deletion of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeleteKernelQuery {
    /// Also if images need it: a start of one of them pulls it again, or fails if it was imported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// Of the list of VMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Indent the answer and end it with a line feed: it can be shown as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pretty: bool,
}

/// Of a VM's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// Go on until the machine ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// What the VMM and the processes beside it said, instead of the guest's console; it is not followed. Each line is
    /// preceded by its program: `qemu: `, `firecracker: ` or `network: `.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vmm: bool,
    /// The output of the VM's command, instead of the guest's console: its end, about 4 MiB. Parts of what came faster than it
    /// could be read may be missing. It is followed until the command ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub command: bool,
}

/// Of the end of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EndingQuery {
    /// Boot id of the guest that is meant.
    pub boot_id: String,
}

/// Of a VM's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StatsQuery {
    /// Leave the guest alone: its figures are absent, and the answer comes at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_only: bool,
}

/// Of a stream to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ChannelQuery {
    /// Port of the guest's agent.
    #[param(maximum = 4_294_967_295_u64)]
    pub port: u32,
}

/// Of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Cursor of the last event that the caller knows; absent: events from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    pub after: Option<i64>,
    /// Go on with what comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

/// Of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OperationQuery {
    /// The last revision that the caller knows.
    #[serde(default)]
    #[param(maximum = 9_007_199_254_740_991_u64)]
    pub after: u64,
}
