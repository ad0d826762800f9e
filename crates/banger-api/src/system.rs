//! The daemon and its host, as clients see them.

use banger_model::{DiskBytes, Hint, ImageName, MemoryMib, VcpuCount};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What answers here, for a client that knows no more than the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceInfo {
    /// Name of the program.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Path of the OpenAPI document.
    pub document: String,
}

/// The daemon: the first thing a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DaemonInfo {
    /// Version of the program.
    pub version: String,
    /// Version of this contract.
    pub api_version: u32,
    /// Process id.
    pub pid: u32,
    /// When it started (RFC 3339).
    #[schema(format = DateTime)]
    pub started_at: String,
    /// The program's file is another one than when it started: it was upgraded.
    pub is_outdated: bool,
    /// Operations at work and streams to guests: a restart would hurt them.
    pub work_in_progress: u32,
    /// Bytes of memory that it holds (resident set).
    pub resident_bytes: u64,
    /// Bytes of the disk that stay free (`disk_floor`); absent when that is a share of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_floor_bytes: Option<u64>,
}

/// What a VM gets when nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmDefaults {
    /// Image.
    pub image: ImageName,
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory in MiB.
    pub memory_mib: MemoryMib,
    /// Work disk in bytes.
    pub disk_bytes: DiskBytes,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// As it should be.
    Pass,
    /// It works, but not as well as it could.
    Warn,
    /// Something will not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub outcome: CheckOutcome,
    /// What was found.
    pub detail: String,
    /// What to do about it; each client words it for its own users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Hint>,
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoctorReport {
    /// The checks, in a fixed order.
    pub checks: Vec<CheckView>,
}
