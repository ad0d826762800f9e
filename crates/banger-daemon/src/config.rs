//! The configuration file. Every key may be absent; a key that is not known is an error, so that a typing mistake is
//! not silently without effect.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_image::{PullLimits, PullRules};
use banger_model::{
    ByteCount, DiskBytes, DiskFloor, HostSize, ImageName, MemoryMib, Ttl, VcpuCount, WantedVmm,
    default_memory, default_vcpus,
};
use banger_sys::paths::{self, Paths, WrittenPathError};
use banger_vmm::firecracker::{JailWish, Tuning};
use banger_vmm::selection::FirecrackerPlace;
use serde::Deserialize;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something that makes no sense.
    #[error("the configuration `{}` is invalid{}", path.display(), .source.place())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ConfigCause,
    },
}

/// What is wrong with a configuration, in one line.
#[derive(Debug)]
pub struct ConfigCause {
    /// Number and content of the line.
    line: Option<(usize, String)>,
    message: String,
}

impl ConfigCause {
    fn of(error: &toml::de::Error, text: &str) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| {
            let index = before.matches('\n').count();
            (index + 1, text.lines().nth(index).unwrap_or_default().trim().to_owned())
        });
        Self { line, message: in_words(&error.message().replace('\n', ", ")) }
    }

    fn place(&self) -> String {
        let told = self.line.as_ref().map(|(number, content)| format!(" in line {number} (`{content}`)"));
        told.unwrap_or_default()
    }
}

/// Says in the words of the file what serde says in those of Rust.
fn in_words(message: &str) -> String {
    let kinds = [
        ("map", "a table"),
        ("sequence", "a list"),
        ("usize", "a number"),
        ("u32", "a number"),
        ("u64", "a number"),
        ("i64", "a number"),
    ];
    let after = |prefix: &str| message.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((field, known)) = after("unknown field ") {
        return format!("unknown key {field}; known keys: {}", known.trim_start_matches("one of "));
    }
    if let Some((value, known)) = after("unknown variant ") {
        return format!("{value} is not a valid value; use one of: {}", known.trim_start_matches("one of "));
    }
    if let Some((found, wanted)) = after("invalid type: ") {
        let name = |word: &str| {
            kinds
                .iter()
                .find(|(rust, _)| *rust == word)
                .map_or(word.to_owned(), |(_, name)| (*name).to_owned())
        };
        let wanted = if wanted.starts_with("struct ") { "a table".to_owned() } else { name(wanted) };
        return format!("expected {wanted}, found {}", name(found));
    }
    message.to_owned()
}

impl fmt::Display for ConfigCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigCause {}

/// The configuration, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// VMM to use: `auto`, `qemu` or `firecracker`.
    pub vmm: WantedVmm,
    /// Image of a VM when none is named.
    pub default_image: ImageName,
    /// How long a VM may run without use; absent: for ever.
    pub auto_stop_stale_after: Option<Duration>,
    /// How much of the state's disk must stay free.
    pub disk_floor: DiskFloor,
    /// How long a guest may take to answer for the first time.
    pub boot_deadline: Duration,
    /// How long the services of an image (its `ready_ports`) may take to listen.
    pub ready_ports_deadline: Duration,
    /// Processors of a VM when nothing is said.
    pub vcpus: VcpuCount,
    /// Memory of a VM when nothing is said.
    pub memory: MemoryMib,
    /// Work disk of a VM when nothing is said.
    pub disk: DiskBytes,
    /// Firecracker's program when another than the installed one is wanted.
    pub firecracker_bin: Option<PathBuf>,
    /// How Firecracker runs machines.
    pub firecracker: FirecrackerSection,
    /// What pulls may do.
    pub pulls: PullsSection,
    /// What guests get of the host.
    pub guest: GuestSection,
}

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

/// What pulls may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PullsSection {
    /// Places (`host` or `host:port`) where answers may lead though they are on this host or in a private network.
    pub redirects_to: Vec<TrustedPlace>,
    /// Bytes that an image may unpack to.
    pub max_size: Option<UnpackedMax>,
    /// Files and directories that an image may have.
    pub max_entries: Option<u64>,
}

impl PullsSection {
    /// The rules of pulls, which leave so much of the disk free.
    #[must_use]
    pub fn rules(&self, floor: DiskFloor) -> PullRules {
        let mut limits = PullLimits::default();
        limits.unpacked_bytes_max = self.max_size.map_or(limits.unpacked_bytes_max, |max| max.0.get());
        limits.entries_max = self.max_entries.unwrap_or(limits.entries_max);
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    vmm: Option<WantedVmm>,
    firecracker_bin: Option<AbsolutePath>,
    #[serde(default)]
    firecracker: FirecrackerSection,
    default_image: Option<ImageName>,
    boot_deadline_secs: Option<u32>,
    ready_ports_deadline_secs: Option<u32>,
    auto_stop_stale_after: Option<StaleAfter>,
    disk_floor: Option<FloorWish>,
    #[serde(default)]
    guest: GuestSection,
    #[serde(default)]
    vm_defaults: VmDefaultsSection,
    #[serde(default)]
    pulls: PullsSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct VmDefaultsSection {
    vcpu: Option<VcpuCount>,
    memory_mib: Option<MemoryMib>,
    disk_size: Option<DiskSize>,
}

/// A size as people write it: `20G`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct DiskSize(DiskBytes);

impl TryFrom<String> for DiskSize {
    type Error = <DiskBytes as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A floor as people write it: `auto`, `2G`, `0`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
struct FloorWish(DiskFloor);

impl TryFrom<String> for FloorWish {
    type Error = <DiskFloor as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A time as people write it: `2h`; `0` means never.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct StaleAfter(Option<Duration>);

impl TryFrom<String> for StaleAfter {
    type Error = <Ttl as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "0" {
            return Ok(Self(None));
        }
        text.parse::<Ttl>().map(|time| Self(Some(Duration::from_secs(time.as_secs()))))
    }
}

/// A path that means the same wherever the daemon was started.
#[derive(Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
struct AbsolutePath(PathBuf);

impl TryFrom<PathBuf> for AbsolutePath {
    type Error = WrittenPathError;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        paths::of_written(&path).map(Self)
    }
}

impl Config {
    /// Reads the file; one that is missing says nothing.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, host: HostSize) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        Self::parse(&text, host).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            source: ConfigCause::of(&error, &text),
        })
    }

    fn parse(text: &str, host: HostSize) -> Result<Self, toml::de::Error> {
        let file: ConfigFile = toml::from_str(text)?;
        let disk = file.vm_defaults.disk_size.map_or_else(DiskBytes::default_size, |DiskSize(disk)| disk);
        let default_image = match file.default_image {
            Some(name) => name,
            None => "debian-bookworm".parse().map_err(serde::de::Error::custom)?,
        };
        Ok(Self {
            vmm: file.vmm.unwrap_or_default(),
            default_image,
            auto_stop_stale_after: file.auto_stop_stale_after.and_then(|StaleAfter(after)| after),
            disk_floor: file.disk_floor.unwrap_or_default().0,
            boot_deadline: Duration::from_secs(file.boot_deadline_secs.unwrap_or(90).max(1).into()),
            ready_ports_deadline: Duration::from_secs(
                file.ready_ports_deadline_secs.unwrap_or(60).max(1).into(),
            ),
            vcpus: file.vm_defaults.vcpu.unwrap_or_else(|| default_vcpus(host)),
            memory: file.vm_defaults.memory_mib.unwrap_or_else(|| default_memory(host)),
            disk,
            firecracker_bin: file.firecracker_bin.map(|AbsolutePath(path)| path),
            firecracker: file.firecracker,
            guest: file.guest,
            pulls: file.pulls,
        })
    }

    /// Where Firecracker is looked for.
    #[must_use]
    pub fn firecracker_place(&self, paths: &Paths) -> FirecrackerPlace {
        match &self.firecracker_bin {
            Some(program) => FirecrackerPlace::Configured(program.clone()),
            None => FirecrackerPlace::Installed(
                paths.firecracker_current().join(banger_vmm::firecracker::PROGRAM_NAME),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostSize = HostSize { processors: 8, memory_mib: 16_384 };

    #[test]
    fn an_empty_file_gives_the_defaults_of_the_host() {
        let config = Config::parse("", HOST).unwrap();
        assert_eq!((config.vcpus.get(), config.memory.get()), (2, 2048));
        assert_eq!(config.default_image.as_str(), "debian-bookworm");
        assert_eq!(config.vmm, WantedVmm::Auto);
    }

    #[test]
    fn firecracker_is_the_installed_one_unless_the_file_says_otherwise() {
        let paths = Paths::under(Path::new("/b")).unwrap();
        let place = |text: &str| Config::parse(text, HOST).unwrap().firecracker_place(&paths);
        let installed = "/b/state/firecracker/current/firecracker";
        assert_eq!(place(""), FirecrackerPlace::Installed(installed.into()));
        assert_eq!(place("firecracker_bin = '/opt/fc'"), FirecrackerPlace::Configured("/opt/fc".into()));
        let FirecrackerPlace::Configured(at_home) = place("firecracker_bin = '~/fc'") else { panic!() };
        assert!(at_home.is_absolute() && at_home.ends_with("fc"), "{}", at_home.display());
        let tuning =
            Config::parse("[firecracker]\nserial_console = true", HOST).unwrap().firecracker.tuning();
        assert_eq!(tuning, Tuning { serial_console: true, ..Tuning::default() });
        let jailer = |text: &str| Config::parse(text, HOST).unwrap().firecracker.tuning().jailer;
        assert_eq!(jailer("[firecracker]\njailer = 'always'"), JailWish::Always);
        assert_eq!(jailer("[firecracker]\njailer = 'never'"), JailWish::Never);
        assert_eq!(jailer(""), JailWish::Auto);
    }

    #[test]
    fn guests_get_the_hosts_authorities_and_its_proxies_when_asked_for() {
        let guest = |text: &str| Config::parse(text, HOST).unwrap().guest;
        assert_eq!(guest(""), GuestSection { host_certificates: true, host_proxies: false });
        let both = "[guest]\nhost_certificates = false\nhost_proxies = true";
        assert_eq!(guest(both), GuestSection { host_certificates: false, host_proxies: true });
        assert!(Config::parse("[guest]\nhost_keys = true", HOST).is_err());
    }

    #[test]
    fn what_the_file_says_wins() {
        let text = "vmm = 'qemu'\nboot_deadline_secs = 5\nready_ports_deadline_secs = 7\n[vm_defaults]\nvcpu = 3\nmemory_mib = 700\ndisk_size = '2G'";
        let config = Config::parse(text, HOST).unwrap();
        assert_eq!((config.vcpus.get(), config.memory.get(), config.disk.get()), (3, 700, 2 << 30));
        assert_eq!((config.vmm, config.boot_deadline), (WantedVmm::Qemu, Duration::from_secs(5)));
        assert_eq!(config.ready_ports_deadline, Duration::from_secs(7));
        let floor = |text: &str| Config::parse(text, HOST).unwrap().disk_floor;
        assert_eq!(floor("disk_floor = '1G'"), DiskFloor::Bytes(1 << 30));
        assert_eq!((floor("disk_floor = 'auto'"), floor("")), (DiskFloor::Share, DiskFloor::Share));
    }

    #[test]
    fn the_rules_of_pulls_are_read() {
        let text = "[pulls]\nredirects_to = ['localhost:8080']\nmax_size = '2G'\nmax_entries = 7";
        let rules = Config::parse(text, HOST).unwrap().pulls.rules(DiskFloor::Bytes(3));
        assert_eq!(rules.trusted, ["localhost:8080"]);
        assert_eq!((rules.limits.unpacked_bytes_max, rules.limits.entries_max), (2 << 30, 7));
        assert_eq!(rules.floor, DiskFloor::Bytes(3));
    }

    #[test]
    fn a_mistake_is_told_in_one_line_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let told = crate::fault::chain(&Config::load(&path, HOST).unwrap_err());
            told.replace(&path.display().to_string(), "config.toml")
        };
        let texts = [
            "\nvm = 1",
            "vmm = 'xen'",
            "[vm_defaults]\nvcpu = 0",
            "[vm_defaults]\n\ndisk_size = '1X'",
            "vmm =",
            "firecracker_bin = 'fc'",
            "[pulls]\nredirects_to = ['http://x']",
            "[pulls]\nmax_size = '1'",
            "vm_defaults = 1",
            "[guest.host_proxies]\na = 1",
            "boot_deadline_secs = true",
        ];
        let table: String = texts.into_iter().map(|text| told(text) + "\n").collect();
        insta::assert_snapshot!(table, @r"
        the configuration `config.toml` is invalid in line 2 (`vm = 1`): unknown key `vm`; known keys: `vmm`, `firecracker_bin`, `firecracker`, `default_image`, `boot_deadline_secs`, `ready_ports_deadline_secs`, `auto_stop_stale_after`, `disk_floor`, `guest`, `vm_defaults`, `pulls`
        the configuration `config.toml` is invalid in line 1 (`vmm = 'xen'`): `xen` is not a valid value; use one of: `auto`, `qemu`, `firecracker`
        the configuration `config.toml` is invalid in line 2 (`vcpu = 0`): the number of processors must be between 1 and 32, not 0
        the configuration `config.toml` is invalid in line 3 (`disk_size = '1X'`): `1X` is not a valid size; use a number with M, G or T, as in `8G`
        the configuration `config.toml` is invalid in line 1 (`vmm =`): string values must be quoted, expected literal string
        the configuration `config.toml` is invalid in line 1 (`firecracker_bin = 'fc'`): `fc` is not an absolute path; write it from `/`, or from your home directory as `~/bin/program`
        the configuration `config.toml` is invalid in line 2 (`redirects_to = ['http://x']`): `http://x` is not a valid place; use HOST or HOST:PORT, without a scheme and a path
        the configuration `config.toml` is invalid in line 2 (`max_size = '1'`): the maximum size must be at least 1M, not 1B
        the configuration `config.toml` is invalid in line 1 (`vm_defaults = 1`): expected a table, found integer `1`
        the configuration `config.toml` is invalid in line 1 (`[guest.host_proxies]`): expected a boolean, found a table
        the configuration `config.toml` is invalid in line 1 (`boot_deadline_secs = true`): expected a number, found boolean `true`
        ");
    }

    #[test]
    fn a_missing_file_is_fine_and_a_bad_one_is_named() {
        assert!(Config::load(Path::new("/nonexistent/config.toml"), HOST).is_ok());
        for text in
            ["vm = 1", "vmm = 'xen'", "[vm_defaults]\nvcpu = 0", "[vm_defaults]\ndisk_size = '1X'", "vmm ="]
        {
            assert!(Config::parse(text, HOST).is_err(), "{text}");
        }
    }
}
