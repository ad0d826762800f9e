//! Sizes of processors, memory and disks. No size can be zero.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::whole_number::WholeNumber;

const MIB: u64 = 1024 * 1024;

/// The reason why a number or text is not a valid size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum SizeError {
    #[error("`{text}` is not a valid size; use a number with M, G or T, as in `{example}`")]
    NotASize {
        text: String,
        /// A valid size, to be shown in the message.
        example: &'static str,
    },
    #[error("`{text}` is not a valid number of processors; use a whole number, as in `2`")]
    NotACount { text: String },
    #[error("{what} must be between {min} and {max}, not {value}{}", .bare.map(|unit| format!("; a number without a unit is in {unit}")).unwrap_or_default())]
    OutOfRange {
        what: &'static str,
        value: String,
        min: String,
        max: String,
        /// The unit that a number without one was read in, if that may explain the error.
        bare: Option<&'static str>,
    },
}

impl SizeError {
    /// Adds the unit in which a number without one was read.
    fn of_bare(self, text: &str, unit: &'static str) -> Self {
        let is_bare = !text.contains(|character: char| character.is_ascii_alphabetic());
        match self {
            Self::OutOfRange { what, value, min, max, bare: None } if is_bare => {
                Self::OutOfRange { what, value, min, max, bare: Some(unit) }
            }
            other => other,
        }
    }
}

/// Number of virtual processors: 1 to 32 (the limit of `vcpu_count` in Firecracker's API).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "WholeNumber", into = "i64")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u32, minimum = 1, maximum = 32))]
pub struct VcpuCount(u8);

impl VcpuCount {
    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.into()
    }
}

impl TryFrom<i64> for VcpuCount {
    type Error = SizeError;

    fn try_from(value: i64) -> Result<Self, SizeError> {
        match u8::try_from(value) {
            Ok(count @ 1..=32) => Ok(Self(count)),
            _ => Err(SizeError::OutOfRange {
                what: "the number of processors",
                value: value.to_string(),
                min: "1".into(),
                max: "32".into(),
                bare: None,
            }),
        }
    }
}

impl TryFrom<WholeNumber> for VcpuCount {
    type Error = SizeError;

    fn try_from(number: WholeNumber) -> Result<Self, SizeError> {
        Self::try_from(number.0)
    }
}

impl From<VcpuCount> for i64 {
    fn from(count: VcpuCount) -> Self {
        count.0.into()
    }
}

impl FromStr for VcpuCount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        text.trim()
            .parse::<i64>()
            .map_or_else(|_| Err(SizeError::NotACount { text: text.into() }), Self::try_from)
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Memory of a VM in MiB: 128 MiB to 1 TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "WholeNumber", into = "i64")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u64, minimum = 128, maximum = 1_048_576))]
pub struct MemoryMib(u32);

impl MemoryMib {
    const MIN: i64 = 128;
    const MAX: i64 = 1024 * 1024;

    /// Returns the size in MiB.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.into()
    }
}

impl TryFrom<i64> for MemoryMib {
    type Error = SizeError;

    fn try_from(mib: i64) -> Result<Self, SizeError> {
        let out_of_range = || SizeError::OutOfRange {
            what: "memory",
            value: display_signed(i128::from(mib) * i128::from(MIB)),
            min: format!("{}M", Self::MIN),
            max: "1T".into(),
            bare: None,
        };
        if !(Self::MIN..=Self::MAX).contains(&mib) {
            return Err(out_of_range());
        }
        u32::try_from(mib).map(Self).map_err(|_error| out_of_range())
    }
}

impl TryFrom<WholeNumber> for MemoryMib {
    type Error = SizeError;

    fn try_from(number: WholeNumber) -> Result<Self, SizeError> {
        Self::try_from(number.0)
    }
}

impl From<MemoryMib> for i64 {
    fn from(memory: MemoryMib) -> Self {
        memory.0.into()
    }
}

impl FromStr for MemoryMib {
    type Err = SizeError;

    /// Parses `512M`, `2G` or a bare number of MiB.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let bytes = parse_bytes(text, MIB, "2G")?;
        Self::try_from(saturated(bytes / i128::from(MIB))).map_err(|error| error.of_bare(text, "MiB"))
    }
}

impl fmt::Display for MemoryMib {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&display_bytes(self.get() * MIB))
    }
}

/// Size of a disk in bytes: 64 MiB to 2 TiB, in whole MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "WholeNumber", into = "i64")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u64, minimum = 67_108_864, maximum = 2_199_023_255_552_u64))]
pub struct DiskBytes(u64);

impl DiskBytes {
    const MIN: u64 = 64 * MIB;
    const MAX_BYTES: u64 = 2 * 1024 * 1024 * MIB;

    /// The largest size.
    pub const MAX: Self = Self(Self::MAX_BYTES);

    /// Returns the size in bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The size that a VM gets by default: 8 GiB (the disk is sparse: only what is written takes space).
    #[must_use]
    pub fn default_size() -> Self {
        Self(8 * 1024 * MIB)
    }
}

impl TryFrom<i64> for DiskBytes {
    type Error = SizeError;

    fn try_from(bytes: i64) -> Result<Self, SizeError> {
        match u64::try_from(bytes) {
            Ok(size) if (Self::MIN..=Self::MAX_BYTES).contains(&size) => Ok(Self(size / MIB * MIB)),
            _ => Err(SizeError::OutOfRange {
                what: "the disk size",
                value: display_signed(bytes.into()),
                min: "64M".into(),
                max: "2T".into(),
                bare: None,
            }),
        }
    }
}

impl TryFrom<WholeNumber> for DiskBytes {
    type Error = SizeError;

    fn try_from(number: WholeNumber) -> Result<Self, SizeError> {
        Self::try_from(number.0)
    }
}

impl From<DiskBytes> for i64 {
    fn from(size: DiskBytes) -> Self {
        // At most 2 TiB by construction.
        Self::try_from(size.0).unwrap_or(Self::MAX)
    }
}

impl FromStr for DiskBytes {
    type Err = SizeError;

    /// Parses `8G`, `512M`, `1T` or a bare number of bytes.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let bytes = parse_bytes(text, 1, "8G")?;
        Self::try_from(saturated(bytes)).map_err(|error| error.of_bare(text, "bytes"))
    }
}

impl fmt::Display for DiskBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&display_bytes(self.0))
    }
}

/// A number of bytes as users write it, such as `64G`, without limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteCount(u64);

impl ByteCount {
    /// Returns the number of bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteCount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let bad = |_error| SizeError::NotASize { text: text.to_owned(), example: "64G" };
        u64::try_from(parse_bytes(text, 1, "64G")?).map(Self).map_err(bad)
    }
}

impl TryFrom<String> for ByteCount {
    type Error = SizeError;

    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl From<ByteCount> for String {
    fn from(count: ByteCount) -> Self {
        count.0.to_string()
    }
}

/// Parses a number with an optional unit; a bare number counts `bare_unit`s.
pub(crate) fn parse_bytes(text: &str, bare_unit: u64, example: &'static str) -> Result<i128, SizeError> {
    let bad = || SizeError::NotASize { text: text.to_owned(), example };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => bare_unit,
        "k" | "kb" | "kib" => 1024,
        "m" | "mb" | "mib" => MIB,
        "g" | "gb" | "gib" => 1024 * MIB,
        "t" | "tb" | "tib" => 1024 * 1024 * MIB,
        _ => return Err(bad()),
    };
    let number: i64 = number.trim().parse().map_err(|_error| bad())?;
    Ok(i128::from(number) * i128::from(factor))
}

/// Returns the nearest `i64`. Numbers beyond its range are out of every range here anyway.
fn saturated(number: i128) -> i64 {
    i64::try_from(number.clamp(i64::MIN.into(), i64::MAX.into())).unwrap_or_default()
}

/// Formats a requested size, even if no such size is possible.
fn display_signed(bytes: i128) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    match u64::try_from(bytes.unsigned_abs()) {
        Ok(0) => "0".to_owned(),
        Ok(bytes) => format!("{sign}{}", display_bytes(bytes)),
        Err(_) => format!("{sign}{}T", bytes.unsigned_abs() >> 40),
    }
}

fn display_bytes(bytes: u64) -> String {
    for (unit, suffix) in [(1024 * 1024 * MIB, "T"), (1024 * MIB, "G"), (MIB, "M")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    if bytes >= MIB { format!("{}M", bytes / MIB) } else { format!("{bytes}B") }
}

/// Formats bytes for people: whole KiB below one MiB, else whole MiB, from 10 GiB on tenths of GiB, from 10 TiB on tenths of TiB; rounded down.
#[must_use]
pub fn display_rounded(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = u128::from(bytes) * 10 / u128::from(unit);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes / MIB {
        0 if bytes < 1024 => format!("{bytes} bytes"),
        0 => format!("{}K", bytes / 1024),
        mib @ 1..10_240 => format!("{mib}M"),
        10_240..10_485_760 => format!("{}G", tenths(1024 * MIB)),
        _ => format!("{}T", tenths(1024 * 1024 * MIB)),
    }
}

/// The host's resources; the defaults are a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSize {
    /// Number of processors.
    pub processors: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// Returns a warning if a VM may use more memory than the host has. `beside_guest_mib` is the memory that running the guest
/// takes in addition to the guest's own.
#[must_use]
pub fn memory_beyond_host(memory: MemoryMib, beside_guest_mib: u64, host: HostSize) -> Option<String> {
    // 0 means that the host's memory is not known.
    if host.memory_mib == 0 || memory.get().saturating_add(beside_guest_mib) <= host.memory_mib {
        return None;
    }
    let [beside, host] = [beside_guest_mib, host.memory_mib].map(|mib| display_bytes(mib * MIB));
    let more =
        if beside_guest_mib == 0 { String::new() } else { format!(", and takes up to {beside} more to run") };
    Some(format!(
        "the VM has {memory} of memory{more}, but this host has {host}: it may be killed once it uses what it has"
    ))
}

/// Returns a quarter of the host's processors, 1 to 4.
#[must_use]
pub fn default_vcpus(host: HostSize) -> VcpuCount {
    VcpuCount(u8::try_from((host.processors / 4).clamp(1, 4)).unwrap_or(1))
}

/// Returns an eighth of the host's memory, 512 MiB to 8 GiB.
#[must_use]
pub fn default_memory(host: HostSize) -> MemoryMib {
    MemoryMib(u32::try_from((host.memory_mib / 8).clamp(512, 8192)).unwrap_or(512))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_beyond_the_hosts_is_told_with_what_it_takes_to_run() {
        let told = |memory: &str, beside, memory_mib| {
            let host = HostSize { processors: 4, memory_mib };
            memory_beyond_host(memory.parse().unwrap(), beside, host)
        };
        assert_eq!(told("4G", 0, 4096), None);
        assert_eq!(told("3840M", 256, 4096), None);
        assert_eq!(told("64G", 0, 0), None, "unknown");
        assert_eq!(
            told("4097M", 0, 4096).unwrap(),
            "the VM has 4097M of memory, but this host has 4G: it may be killed once it uses what it has"
        );
        assert_eq!(
            told("4G", 256, 4096).unwrap(),
            "the VM has 4G of memory, and takes up to 256M more to run, but this host has 4G: it may be killed once it uses \
             what it has"
        );
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!("512".parse::<MemoryMib>().unwrap().get(), 512);
        assert_eq!("2G".parse::<MemoryMib>().unwrap().get(), 2048);
        assert_eq!("2 GiB".parse::<MemoryMib>().unwrap().get(), 2048);
        assert_eq!("8g".parse::<DiskBytes>().unwrap().get(), 8 << 30);
        assert_eq!("1t".parse::<DiskBytes>().unwrap().get(), 1 << 40);
        assert_eq!("3".parse::<VcpuCount>().unwrap().get(), 3);
        assert_eq!("1T".parse::<MemoryMib>().unwrap().get(), 1 << 20);
        assert_eq!("2T".parse::<DiskBytes>().unwrap().get(), 2 << 40);
        assert_eq!("64M".parse::<DiskBytes>().unwrap().get(), 64 << 20);
        assert_eq!("65536k".parse::<DiskBytes>().unwrap().get(), 64 << 20);
        assert_eq!(DiskBytes::default_size().get(), 8 << 30);
    }

    #[test]
    fn a_disk_has_whole_mebibytes() {
        assert_eq!("67108865".parse::<DiskBytes>().unwrap().get(), 64 << 20);
        assert_eq!("68157439".parse::<DiskBytes>().unwrap().get(), 64 << 20);
        assert_eq!("68157440".parse::<DiskBytes>().unwrap().get(), 65 << 20);
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        assert_eq!("3".parse::<VcpuCount>().unwrap().to_string(), "3");
        for (text, shown) in [("1536M", "1536M"), ("1024M", "1G"), ("1048576M", "1T"), ("2047M", "2047M")] {
            assert_eq!(text.parse::<DiskBytes>().unwrap().to_string(), shown);
        }
        assert_eq!(display_bytes(MIB - 1), "1048575B");
        assert_eq!(display_bytes(MIB + 1), "1M");
    }

    #[test]
    fn sizes_for_people_are_rounded_down() {
        const TIB: u64 = 1024 * 1024 * MIB;
        let small = [0, MIB - 1, MIB, 10_239 * MIB + 5].map(display_rounded);
        assert_eq!(small, ["0 bytes", "1023K", "1M", "10239M"]);
        let large = [10_240 * MIB, 13 * 1024 * MIB + 900 * MIB, 10 * TIB - 1, 10 * TIB, 21 * TIB / 2];
        assert_eq!(large.map(display_rounded), ["10.0G", "13.8G", "10239.9G", "10.0T", "10.5T"]);
    }

    #[test]
    fn nothing_and_less_are_refused() {
        for text in
            ["0", "-1", "-1G", "0G", "127M", "9999T", "99999999999999999999", "", "G", "x", "1.5G", "1Q"]
        {
            assert!(text.parse::<MemoryMib>().is_err(), "{text}");
        }
        for text in ["0", "-8G", "63M", "3T", "", "big"] {
            assert!(text.parse::<DiskBytes>().is_err(), "{text}");
        }
        for text in ["0", "-1", "33", "", "two", "1.5"] {
            assert!(text.parse::<VcpuCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_tells_the_limits() {
        assert_eq!(
            "0".parse::<VcpuCount>().unwrap_err().to_string(),
            "the number of processors must be between 1 and 32, not 0"
        );
        assert_eq!(
            "-1G".parse::<MemoryMib>().unwrap_err().to_string(),
            "memory must be between 128M and 1T, not -1G"
        );
        assert_eq!(
            "big".parse::<DiskBytes>().unwrap_err().to_string(),
            "`big` is not a valid size; use a number with M, G or T, as in `8G`"
        );
        assert_eq!(
            "12".parse::<MemoryMib>().unwrap_err().to_string(),
            "memory must be between 128M and 1T, not 12M; a number without a unit is in MiB"
        );
        assert_eq!(
            "8".parse::<DiskBytes>().unwrap_err().to_string(),
            "the disk size must be between 64M and 2T, not 8B; a number without a unit is in bytes"
        );
        assert_eq!(
            "9000000000000000000T".parse::<MemoryMib>().unwrap_err().to_string(),
            "memory must be between 128M and 1T, not 8796093022207T"
        );
        assert_eq!(
            "-9000000000000000000T".parse::<DiskBytes>().unwrap_err().to_string(),
            "the disk size must be between 64M and 2T, not -8388608T"
        );
    }

    #[test]
    fn json_holds_numbers_and_refuses_bad_ones() {
        assert_eq!(serde_json::to_string(&"2G".parse::<MemoryMib>().unwrap()).unwrap(), "2048");
        assert_eq!(serde_json::to_string(&"2G".parse::<DiskBytes>().unwrap()).unwrap(), "2147483648");
        assert_eq!(serde_json::to_string(&"3".parse::<VcpuCount>().unwrap()).unwrap(), "3");
        assert!(serde_json::from_str::<VcpuCount>("0").is_err());
        assert!(serde_json::from_str::<MemoryMib>("-5").is_err());
    }

    #[test]
    fn defaults_are_a_share_of_the_host_with_a_floor_and_a_cap() {
        let of = |processors, memory_mib| {
            let host = HostSize { processors, memory_mib };
            (default_vcpus(host).get(), default_memory(host).get())
        };
        assert_eq!(of(1, 1024), (1, 512));
        assert_eq!(of(2, 24_000), (1, 3000));
        assert_eq!(of(8, 32_768), (2, 4096));
        assert_eq!(of(128, 1_048_576), (4, 8192));
    }

    proptest! {
        #[test]
        fn a_shown_size_reads_back_as_the_same(mib in 128i64..1_048_576) {
            let memory = MemoryMib::try_from(mib).unwrap();
            prop_assert_eq!(memory.to_string().parse::<MemoryMib>().unwrap(), memory);
        }

        #[test]
        fn no_text_makes_a_size_parser_panic(text in "\\PC{0,30}") {
            let _ = text.parse::<MemoryMib>();
            let _ = text.parse::<DiskBytes>();
            let _ = text.parse::<VcpuCount>();
        }
    }
}
