//! The sections and values of the file, parsed once.

use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use banger_image::{PullLimits, PullRules};
use banger_model::{ByteCount, DiskBytes, DiskFloor, ImageName, MemoryMib, Ttl, VcpuCount, WantedVmm};
use banger_net::control::Rules;
use banger_sys::paths::{self, WrittenPathError};
use banger_vmm::firecracker::{JailWish, Tuning};
use serde::Deserialize;

/// What guests get of how the host reaches the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestSection {
    /// Certificate authorities that the user added to the host's own.
    pub host_certificates: bool,
    /// Proxies of the daemon's environment.
    pub host_proxies: bool,
}

impl Default for GuestSection {
    fn default() -> Self {
        Self { host_certificates: true, host_proxies: false }
    }
}

/// What guests reach of the host and its network, which are closed otherwise. It concerns machines that start from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSection {
    /// Private addresses, and those that the host reaches without a router.
    pub allow_lan: bool,
    /// Ports of the host's loopback, which guests reach at their gateway.
    pub allow_host_ports: Vec<NonZeroU16>,
}

impl NetworkSection {
    /// In the words of a machine's network.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let host_ports = self.allow_host_ports.iter().copied().map(NonZeroU16::get).collect();
        Rules { allow_lan: self.allow_lan, host_ports }
    }
}

/// What pulls may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PullsSection {
    /// Places (`host` or `host:port`) where answers may lead though they are on this host or in a private network.
    pub redirects_to: Vec<TrustedPlace>,
    /// Bytes that an image may unpack to.
    pub max_size: Option<UnpackedMax>,
    /// Files and directories that an image may have.
    pub max_entries: Option<NonZeroU64>,
}

impl PullsSection {
    /// The rules of pulls, which leave so much of the disk free.
    #[must_use]
    pub fn rules(&self, floor: DiskFloor) -> PullRules {
        let mut limits = PullLimits::default();
        limits.unpacked_bytes_max = self.max_size.map_or(limits.unpacked_bytes_max, |max| max.0.get());
        limits.entries_max = self.max_entries.map_or(limits.entries_max, NonZeroU64::get);
        let trusted = self.redirects_to.iter().map(|place| place.0.clone()).collect();
        PullRules { trusted, limits, floor }
    }
}

/// A place where answers may lead: `host` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TrustedPlace(String);

impl TryFrom<String> for TrustedPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        let is_place = !text.is_empty() && text.chars().all(is_host) && !text.starts_with(':');
        if is_place {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not a valid place; use HOST or HOST:PORT, without a scheme and a path"))
        }
    }
}

/// The most that an image may unpack to: no image is smaller than 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UnpackedMax(ByteCount);

impl TryFrom<String> for UnpackedMax {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let count: ByteCount = text.parse().map_err(|error: banger_model::SizeError| error.to_string())?;
        if count.get() < 1 << 20 {
            return Err(format!("the maximum size must be at least 1M, not {}B", count.get()));
        }
        Ok(Self(count))
    }
}

/// How Firecracker runs machines: see [`Tuning`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirecrackerSection {
    serial_console: bool,
    io_uring: bool,
    huge_pages: bool,
    jailer: JailerWish,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JailerWish {
    #[default]
    Auto,
    Never,
    Always,
}

impl FirecrackerSection {
    /// In the driver's words.
    #[must_use]
    pub fn tuning(self) -> Tuning {
        Tuning {
            serial_console: self.serial_console,
            io_uring: self.io_uring,
            huge_pages: self.huge_pages,
            jailer: match self.jailer {
                JailerWish::Auto => JailWish::Auto,
                JailerWish::Never => JailWish::Never,
                JailerWish::Always => JailWish::Always,
            },
        }
    }
}

/// The file as it is written; absent keys have their defaults in [`super::Config`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) vmm: Option<WantedVmm>,
    pub(super) firecracker_bin: Option<AbsolutePath>,
    #[serde(default)]
    pub(super) firecracker: FirecrackerSection,
    pub(super) default_image: Option<ImageName>,
    pub(super) boot_deadline_secs: Option<DeadlineSecs>,
    pub(super) ready_ports_deadline_secs: Option<DeadlineSecs>,
    pub(super) auto_stop_stale_after: Option<StaleAfter>,
    pub(super) disk_floor: Option<FloorWish>,
    #[serde(default)]
    pub(super) guest: GuestSection,
    #[serde(default)]
    pub(super) network: NetworkSection,
    #[serde(default)]
    pub(super) vm_defaults: VmDefaultsSection,
    #[serde(default)]
    pub(super) pulls: PullsSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VmDefaultsSection {
    pub(super) vcpu: Option<VcpuCount>,
    pub(super) memory_mib: Option<MemoryMib>,
    pub(super) disk_size: Option<DiskSize>,
}

/// A size as people write it: `20G`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DiskSize(pub(super) DiskBytes);

impl TryFrom<String> for DiskSize {
    type Error = <DiskBytes as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A floor as people write it: `auto`, `2G`, `0`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct FloorWish(pub(super) DiskFloor);

impl TryFrom<String> for FloorWish {
    type Error = <DiskFloor as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A time as people write it: `2h`; `0` means never.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StaleAfter(pub(super) Option<Duration>);

impl TryFrom<String> for StaleAfter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "0" {
            return Ok(Self(None));
        }
        // A time without use has the bounds of a time to live, whose errors name the latter.
        let time =
            text.parse::<Ttl>().map_err(|error| error.to_string().replace("the time to live", "the time"))?;
        Ok(Self(Some(Duration::from_secs(time.as_secs()))))
    }
}

/// A path that means the same wherever the daemon was started.
#[derive(Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl TryFrom<PathBuf> for AbsolutePath {
    type Error = WrittenPathError;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        paths::of_written(&path).map(Self)
    }
}

/// A deadline in whole seconds, from one second to one day.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct DeadlineSecs(u32);

impl DeadlineSecs {
    const MAX: u32 = 24 * 60 * 60;

    pub(super) fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl TryFrom<i64> for DeadlineSecs {
    type Error = String;

    fn try_from(secs: i64) -> Result<Self, String> {
        u32::try_from(secs)
            .ok()
            .filter(|secs| (1..=Self::MAX).contains(secs))
            .map(Self)
            .ok_or_else(|| format!("the deadline must be between 1 and {} seconds, not {secs}", Self::MAX))
    }
}
