//! The network process against `pasta`, which is `passt` for a namespace: the same client in a namespace behind either, the same
//! server in another one, in one run. Prints one JSON document.
//!
//! `cargo bench -p banger-net --bench against_pasta`

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a measurement fails by panicking, and shares its namespaces with tests that need more of them"
)]

#[path = "../tests/it/lab.rs"]
mod lab;
#[path = "../tests/it/line.rs"]
mod line;
#[path = "../tests/it/namespace.rs"]
mod namespace;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use lab::{Lab, WORLD};

const PORT: u16 = 8080;
const BYTES: u64 = 1 << 30;
const CONNECTIONS: u32 = 2000;
const RUNS: usize = 3;

/// The word that makes this program the client.
const CLIENT: &str = "client";
const SHAPES: [&str; 3] = ["connections", "out", "in"];

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = banger_net::role::play(words.clone()) {
        return code;
    }
    if words.first().is_some_and(|word| word == CLIENT) {
        println!("{}", client(words[1].to_str().unwrap()));
        return ExitCode::SUCCESS;
    }
    namespace::become_root_of_networks().unwrap();
    let lab = Lab::new();
    lab.world.run(|| {
        let listener = TcpListener::bind((WORLD, PORT)).unwrap();
        std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
    });
    let mut figures = serde_json::Map::new();
    for shape in SHAPES {
        let (mut ours, mut pastas) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(through_ours(&lab, shape));
            pastas.extend(through_pasta(&lab, shape));
        }
        let unit = if shape == "connections" { "per_second" } else { "mbit_per_second" };
        figures.insert(format!("ours_{shape}_{unit}"), median(&mut ours).into());
        if !pastas.is_empty() {
            figures.insert(format!("pasta_{shape}_{unit}"), median(&mut pastas).into());
        }
    }
    figures.insert("ours_resident_kib".into(), lab.resident_kib().into());
    println!("{}", serde_json::Value::Object(figures));
    ExitCode::SUCCESS
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2].round()
}

fn through_ours(lab: &Lab, shape: &str) -> f64 {
    let output = lab.guest.run(|| me().args([CLIENT, shape]).output().unwrap());
    figure(&output.stdout)
}

/// `None`: it is not installed.
fn through_pasta(lab: &Lab, shape: &str) -> Option<f64> {
    let pasta = ["--config-net", "--ipv4-only", "-q", "-t", "none", "-u", "none", "--runas", "0", "--"];
    let output = lab.host.run(|| {
        let program = std::env::current_exe().unwrap();
        Command::new("pasta")
            .args(pasta)
            .arg(program)
            .args([CLIENT, shape])
            .stderr(Stdio::inherit())
            .output()
            .ok()
    });
    output.map(|output| figure(&output.stdout))
}

fn figure(output: &[u8]) -> f64 {
    String::from_utf8_lossy(output).trim().parse().unwrap()
}

fn me() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Returns megabits or connections per second.
fn client(shape: &str) -> f64 {
    let begin = Instant::now();
    let mut buffer = vec![7; 256 * 1024];
    let connect = || TcpStream::connect(SocketAddr::new(WORLD.parse().unwrap(), PORT)).unwrap();
    match shape {
        "out" => {
            let mut stream = connect();
            stream.write_all(b"o").unwrap();
            for _ in 0..BYTES / buffer.len() as u64 {
                stream.write_all(&buffer).unwrap();
            }
            // Counted and not closed: pasta of Debian 12 breaks half-closed connections.
            stream.read_exact(&mut [0]).unwrap();
        }
        "in" => {
            let mut stream = connect();
            stream.write_all(b"i").unwrap();
            while stream.read(&mut buffer).unwrap() > 0 {}
        }
        _ => {
            for _ in 0..CONNECTIONS {
                let mut stream = connect();
                stream.write_all(b"c").unwrap();
                stream.read_exact(&mut [0]).unwrap();
            }
            return f64::from(CONNECTIONS) / begin.elapsed().as_secs_f64();
        }
    }
    BYTES as f64 * 8.0 / 1e6 / begin.elapsed().as_secs_f64()
}

fn serve(mut stream: TcpStream) {
    std::thread::spawn(move || {
        let (mut buffer, mut command) = (vec![7; 256 * 1024], [0]);
        stream.read_exact(&mut command).unwrap();
        match command {
            [b'o'] => {
                let mut left = BYTES;
                while left > 0 {
                    left -= stream.read(&mut buffer).unwrap() as u64;
                }
                stream.write_all(b"x").unwrap();
            }
            [b'i'] => {
                for _ in 0..BYTES / buffer.len() as u64 {
                    if stream.write_all(&buffer).is_err() {
                        break;
                    }
                }
            }
            _ => stream.write_all(b"x").unwrap(),
        }
    });
}
