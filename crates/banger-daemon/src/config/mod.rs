//! The configuration file. Every key is optional; an unknown key is an error, so that a typing mistake is
//! not silently without effect.

mod error;
mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_image::read_text;
use banger_model::{
    DiskBytes, DiskFloor, HostSize, ImageName, MemoryMib, VcpuCount, WantedVmm, default_memory, default_vcpus,
};
use banger_sys::paths::Paths;
use banger_vmm::selection::FirecrackerPlace;

use file::{AbsolutePath, ConfigFile, DeadlineSecs, DiskSize, StaleAfter};

pub use error::{ConfigCause, ConfigError};
pub use file::{FirecrackerSection, GuestSection, NetworkSection, PullsSection, TrustedPlace, UnpackedMax};

/// Longest file that is read.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const BOOT_DEADLINE: Duration = Duration::from_secs(90);
const READY_PORTS_DEADLINE: Duration = Duration::from_secs(60);

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
    /// What guests reach of the host and its network.
    pub network: NetworkSection,
}

impl Config {
    /// Reads the file; one that is missing says nothing.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, host: HostSize) -> Result<Self, ConfigError> {
        let text = match read_text(path, CONFIG_BYTES_MAX) {
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
            boot_deadline: file.boot_deadline_secs.map_or(BOOT_DEADLINE, DeadlineSecs::duration),
            ready_ports_deadline: file
                .ready_ports_deadline_secs
                .map_or(READY_PORTS_DEADLINE, DeadlineSecs::duration),
            vcpus: file.vm_defaults.vcpu.unwrap_or_else(|| default_vcpus(host)),
            memory: file.vm_defaults.memory_mib.unwrap_or_else(|| default_memory(host)),
            disk,
            firecracker_bin: file.firecracker_bin.map(|AbsolutePath(path)| path),
            firecracker: file.firecracker,
            guest: file.guest,
            network: file.network,
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
    use banger_net::control::Rules;
    use banger_vmm::firecracker::{JailWish, Tuning};

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
    fn the_host_and_its_network_are_closed_unless_the_file_opens_them() {
        let rules = |text: &str| Config::parse(text, HOST).map(|config| config.network.rules());
        assert_eq!(rules("").unwrap(), Rules::default());
        let opened = rules("[network]\nallow_lan = true\nallow_host_ports = [5432, 8080]").unwrap();
        assert_eq!(opened, Rules { allow_lan: true, host_ports: vec![5432, 8080] });
        for bad in
            ["allow_host_ports = [0]", "allow_host_ports = [65536]", "allow_host_ports = 80", "allow = true"]
        {
            assert!(rules(&format!("[network]\n{bad}")).is_err(), "{bad}");
        }
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
    fn what_never_ends_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let told = || {
            let told = crate::fault::chain(&Config::load(&path, HOST).unwrap_err());
            let _ = std::fs::remove_file(&path);
            told.replace(&path.display().to_string(), "config.toml")
        };
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        let not_a_file =
            "cannot read the configuration `config.toml`: it is a pipe, socket or device, not a regular file";
        assert_eq!(told(), not_a_file);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(told(), not_a_file);
        std::fs::File::create(&path).unwrap().set_len(CONFIG_BYTES_MAX + 1).unwrap();
        assert_eq!(told(), "cannot read the configuration `config.toml`: it is larger than 1M");
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
            "boot_deadline_secs = -1",
            "ready_ports_deadline_secs = 0",
            "boot_deadline_secs = 86401",
            "vmm = 3",
            "auto_stop_stale_after = '5s'",
            "[pulls]\nmax_entries = 0",
            "[pulls]\nredirects_to = 'x'",
            "[guest]\nhost_proxies = 'yes'",
            "[network]\nallow_host_ports = [0]",
            "[network]\nallow_host_ports = [5432, 65536]",
            "[network]\nallow_host_ports = 5432",
        ];
        let table: String = texts.into_iter().map(|text| told(text) + "\n").collect();
        insta::assert_snapshot!(table, @r#"
        the configuration `config.toml` is invalid in line 2 (`vm = 1`): unknown key `vm`; known keys: `vmm`, `firecracker_bin`, `firecracker`, `default_image`, `boot_deadline_secs`, `ready_ports_deadline_secs`, `auto_stop_stale_after`, `disk_floor`, `guest`, `network`, `vm_defaults`, `pulls`
        the configuration `config.toml` is invalid in line 1 (`vmm = 'xen'`): `xen` is not a valid value; use one of: `auto`, `qemu`, `firecracker`
        the configuration `config.toml` is invalid in line 2 (`vcpu = 0`): the number of processors must be between 1 and 32, not 0
        the configuration `config.toml` is invalid in line 3 (`disk_size = '1X'`): `1X` is not a valid size; use a number with M, G or T, as in `8G`
        the configuration `config.toml` is invalid in line 1 (`vmm =`): string values must be quoted, expected literal string
        the configuration `config.toml` is invalid in line 1 (`firecracker_bin = 'fc'`): `fc` is not an absolute path; write it from `/`, or from your home directory as `~/bin/program`
        the configuration `config.toml` is invalid in line 2 (`redirects_to = ['http://x']`): `http://x` is not a valid place; use HOST or HOST:PORT, without a scheme and a path
        the configuration `config.toml` is invalid in line 2 (`max_size = '1'`): the maximum size must be at least 1M, not 1B
        the configuration `config.toml` is invalid in line 1 (`vm_defaults = 1`): expected a table, found integer `1`
        the configuration `config.toml` is invalid in line 1 (`[guest.host_proxies]`): expected true or false, found a table
        the configuration `config.toml` is invalid in line 1 (`boot_deadline_secs = true`): expected a whole number, found boolean `true`
        the configuration `config.toml` is invalid in line 1 (`boot_deadline_secs = -1`): the deadline must be between 1 and 86400 seconds, not -1
        the configuration `config.toml` is invalid in line 1 (`ready_ports_deadline_secs = 0`): the deadline must be between 1 and 86400 seconds, not 0
        the configuration `config.toml` is invalid in line 1 (`boot_deadline_secs = 86401`): the deadline must be between 1 and 86400 seconds, not 86401
        the configuration `config.toml` is invalid in line 1 (`vmm = 3`): expected a string
        the configuration `config.toml` is invalid in line 1 (`auto_stop_stale_after = '5s'`): the time must be between 10 seconds and 10 years, not 5 seconds
        the configuration `config.toml` is invalid in line 2 (`max_entries = 0`): expected a whole number above 0, found integer `0`
        the configuration `config.toml` is invalid in line 2 (`redirects_to = 'x'`): expected a list, found string "x"
        the configuration `config.toml` is invalid in line 2 (`host_proxies = 'yes'`): expected true or false, found string "yes"
        the configuration `config.toml` is invalid in line 2 (`allow_host_ports = [0]`): expected a port from 1 to 65535, found integer `0`
        the configuration `config.toml` is invalid in line 2 (`allow_host_ports = [5432, 65536]`): expected a port from 1 to 65535, found integer `65536`
        the configuration `config.toml` is invalid in line 2 (`allow_host_ports = 5432`): expected a list, found integer `5432`
        "#);
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
