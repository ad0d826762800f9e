//! Container images from a real registry on loopback, printed as JSON: `banger image pull` against `skopeo copy`, `umoci
//! unpack` and `mke2fs -d`, alternating in the same run, for few large and for many small files. `BANGER_BENCH_RUNS` sets
//! the number of turns.
//!
//! Both sides end with an ext4 image on stable storage. Ours does more: it has a work-seed, and its manifest has the sha256
//! of the root.

#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on fails right there"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_smoke::Home;
use banger_smoke::statistics::{median, three_digits};
use serde_json::{Map, Value, json};

const RUNS_DEFAULT: usize = 3;
const DISKS_GOAL: Duration = Duration::from_millis(50);
const MEMORY_GOAL_KIB: u64 = 256 << 10;

/// Maximum growth of the time for twice the bytes and twice the files: twice, plus some noise.
const GROWTH_GOAL: f64 = 2.3;

/// An image to measure with.
struct Shape {
    name: &'static str,
    files: usize,
    bytes: usize,
    /// Whether the tools are measured as well.
    is_compared: bool,
}

const BASE: Shape =
    Shape { name: "300_mb_in_20000_files", files: 20_000, bytes: 300_000_000, is_compared: true };
const DOUBLE: Shape =
    Shape { name: "600_mb_in_40000_files", files: 40_000, bytes: 600_000_000, is_compared: false };
const SMALL_FILES: Shape =
    Shape { name: "100000_small_files", files: 100_000, bytes: 100_000_000, is_compared: true };

/// The figures of one image: medians, and the peak memory.
struct Figures {
    ours: Duration,
    theirs: Option<Duration>,
    second: Duration,
    disks: Duration,
    memory_kib: u64,
    blobs: (usize, usize),
}

fn main() {
    // `cargo test --benches` asks for a list of tests; there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let runs = std::env::var("BANGER_BENCH_RUNS").ok().and_then(|text| text.parse().ok());
    let runs: usize = runs.unwrap_or(RUNS_DEFAULT).max(1);
    let shapes = [BASE, DOUBLE, SMALL_FILES];
    let figures = shapes.each_ref().map(|shape| measure(shape, runs));
    let ratio = figures.iter().filter_map(Figures::ratio).fold(0.0, f64::max);
    let [base, double, _] = &figures;
    let growth = double.ours.as_secs_f64() / base.ours.as_secs_f64();
    let memory = figures.iter().map(|figures| figures.memory_kib).max().unwrap_or_default();
    let disks = figures.iter().map(|figures| figures.disks).max().unwrap_or_default();
    let pulls: Map<_, _> =
        shapes.iter().zip(&figures).map(|(shape, figures)| (shape.name.to_owned(), figures.tell())).collect();
    println!(
        "{:#}",
        json!({
            "pull_turns": runs,
            "pulls": pulls,
            "pull_ratio_of_the_worst": three_digits(ratio),
            "pull_goal_met": ratio <= 0.5,
            "pull_growth_with_twice_the_bytes": three_digits(growth),
            "pull_growth_goal_met": growth <= GROWTH_GOAL,
            "pull_peak_memory_mib": memory / 1024,
            "pull_memory_goal_met": memory < MEMORY_GOAL_KIB,
            "make_disks_ms_of_the_worst": milliseconds(disks),
            "make_disks_goal_met": disks < DISKS_GOAL,
        })
    );
}

impl Figures {
    fn ratio(&self) -> Option<f64> {
        Some(self.ours.as_secs_f64() / self.theirs?.as_secs_f64())
    }

    fn tell(&self) -> Value {
        json!({
            "banger_image_pull_ms": milliseconds(self.ours),
            "skopeo_umoci_mke2fs_ms": self.theirs.map(milliseconds),
            "ratio": self.ratio().map(three_digits),
            "daemon_peak_memory_mib": self.memory_kib / 1024,
            "pull_with_shared_layers_ms": milliseconds(self.second),
            "blobs_of_first_pull": self.blobs.0,
            "blobs_of_second_pull": self.blobs.1,
            "make_disks_ms": milliseconds(self.disks),
        })
    }
}

fn measure(shape: &Shape, runs: usize) -> Figures {
    let work = tempfile::Builder::new().prefix("bb").tempdir_in("/var/tmp").expect("a temporary directory");
    let registry = Registry::start(work.path());
    let layout = make_layout(work.path(), shape);
    for tag in ["v1", "v2"] {
        registry.push(&layout, tag);
    }
    let (mut ours, mut theirs, mut second, mut disks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut memory_kib, mut blobs) = (0, (0, 0));
    for _ in 0..runs {
        let home = Home::ready();
        ours.push(pull(&home, &registry, "v1"));
        memory_kib = memory_kib.max(peak_memory_kib(&home));
        let before = count_blobs(&home);
        second.push(pull(&home, &registry, "v2"));
        blobs = (before, count_blobs(&home) - before);
        disks.extend(disk_times(&home));
        if shape.is_compared {
            theirs.push(tools(work.path(), &registry));
        }
    }
    Figures {
        ours: median(&mut ours),
        theirs: shape.is_compared.then(|| median(&mut theirs)),
        second: median(&mut second),
        disks: median(&mut disks),
        memory_kib,
        blobs,
    }
}

fn pull(home: &Home, registry: &Registry, tag: &str) -> Duration {
    let begin = Instant::now();
    let source = format!("{}/bench:{tag}", registry.host);
    let answer = home.banger(&["image", "pull", "-q", &source, "--name", tag]).run();
    assert_eq!(answer.status, 0, "{answer:?}");
    begin.elapsed()
}

/// Returns the times of making the disks of a VM with this image.
fn disk_times(home: &Home) -> Vec<Duration> {
    for _ in 0..5 {
        let answer = home.banger(&["vm", "create", "-q", "--no-start", "--image", "v1"]).run();
        assert_eq!(answer.status, 0, "{answer:?}");
    }
    let operations: Value =
        serde_json::from_str(&home.text(&["operation", "list", "--json"])).expect("the operations are JSON");
    let stages =
        operations.as_array().into_iter().flatten().filter_map(|operation| operation["stages"].as_array());
    let disks = stages.flatten().filter(|stage| stage["name"] == "create disks");
    let times: Vec<_> =
        disks.filter_map(|stage| stage["took_ms"].as_u64()).map(Duration::from_millis).collect();
    assert_eq!(times.len(), 5, "{operations}");
    times
}

/// Does the same without banger, up to a synced file system.
fn tools(work: &Path, registry: &Registry) -> Duration {
    let (layout, bundle, disk) = (work.join("copy"), work.join("bundle"), work.join("disk.ext4"));
    let image = format!("{}:v1", layout.display());
    let begin = Instant::now();
    let from = format!("docker://{}/bench:v1", registry.host);
    run(Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"])
        .args([&from, &format!("oci:{image}")]));
    let mut unpack = Command::new("umoci");
    unpack.arg("unpack");
    if !rustix::process::geteuid().is_root() {
        unpack.arg("--rootless");
    }
    run(unpack.args(["--image", &image]).arg(&bundle));
    run(Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-N", "200000", "-d"])
        .arg(bundle.join("rootfs"))
        .arg(&disk)
        .arg("2G"));
    fs::File::open(&disk).and_then(|disk| disk.sync_all()).expect("the disk is synced");
    let took = begin.elapsed();
    for path in [layout, bundle] {
        fs::remove_dir_all(path).expect("it can be removed");
    }
    fs::remove_file(disk).expect("it can be removed");
    took
}

/// Makes `v1` with three layers, and `v2` with one small layer more.
fn make_layout(work: &Path, shape: &Shape) -> PathBuf {
    let layout = work.join("layout");
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &format!("{}:v1", layout.display())]));
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for layer in 0..3 {
        add_layer(work, &layout, "v1", |root| {
            for number in (layer..shape.files).step_by(3) {
                let directory = root.join(format!("srv/{:03}", number % 500));
                fs::create_dir_all(&directory).expect("a directory");
                let content = numbers.content(shape.bytes / shape.files);
                fs::write(directory.join(format!("file-{number}")), content).expect("a file");
            }
        });
    }
    add_layer(work, &layout, "v2", |root| {
        fs::create_dir_all(root.join("srv/000")).expect("a directory");
        fs::write(root.join("srv/new"), "new").expect("a file");
        fs::write(root.join("srv/000/.wh.file-0"), "").expect("a file");
    });
    layout
}

/// Adds a layer on top of `v1`.
fn add_layer(work: &Path, layout: &Path, tag: &str, fill: impl FnOnce(&Path)) {
    let (root, archive) = (work.join("layer"), work.join("layer.tar"));
    fs::create_dir(&root).expect("a directory");
    fill(&root);
    run(Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&root)
        .arg("srv"));
    run(Command::new("umoci")
        .args(["raw", "add-layer", "--image", &format!("{}:v1", layout.display()), "--tag", tag])
        .arg(&archive));
    fs::remove_dir_all(root).expect("it can be removed");
    fs::remove_file(archive).expect("it can be removed");
}

/// Pseudo-random numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    /// Half noise, half text: about as compressible as programs are.
    fn content(&mut self, length: usize) -> Vec<u8> {
        let mut content = Vec::with_capacity(length + 64);
        while content.len() < length {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            content.extend(self.0.to_le_bytes());
            content.extend(b"mov rax,");
        }
        content.truncate(length);
        content
    }
}

struct Registry {
    process: Child,
    host: String,
}

impl Registry {
    fn start(work: &Path) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let host = host.expect("a free port").to_string();
        let data = work.join("registry").display().to_string();
        let config = work.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {data}\nhttp:\n  addr: {host}\n"
        );
        fs::write(&config, text).expect("a configuration");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`docker-registry` is installed");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        assert!(lines.by_ref().any(|line| line.is_ok_and(|line| line.contains("listening on"))));
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, host }
    }

    fn push(&self, layout: &Path, tag: &str) {
        let from = format!("oci:{}:{tag}", layout.display());
        let to = format!("docker://{}/bench:{tag}", self.host);
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .args([&from, &to]));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn peak_memory_kib(home: &Home) -> u64 {
    let pid = home.daemon_pid().expect("the daemon runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a high-water mark");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn count_blobs(home: &Home) -> usize {
    fs::read_dir(home.path().join("cache/oci/blobs/sha256")).map_or(0, Iterator::count)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
