//! The guest's resource usage, from the kernel's own figures.

mod memory;
mod network;
mod processor;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use banger_agent_proto::{FileSystemFigures, StatsReply};
use rustix::io::Errno;

/// The root and the work disk.
const MOUNT_POINTS: [&str; 2] = ["/", "/root"];

/// A figure cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatsError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is not in a form that is known", path.display())]
    Form { path: PathBuf },
    #[error("cannot ask the file system of `{mount_point}`")]
    FileSystem { mount_point: &'static str, source: Errno },
}

/// Reads all figures. File systems may block, so do not call it on the runtime's thread.
pub(crate) fn read(proc: &Path) -> Result<StatsReply, StatsError> {
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (load, tasks) = parsed(proc, "loadavg", parse_load)?;
    Ok(StatsReply {
        uptime_seconds: Duration::try_from(uptime).unwrap_or_default().as_secs_f64(),
        cpu: Some(parsed(proc, "stat", processor::parse)?),
        memory: Some(parsed(proc, "meminfo", memory::parse)?),
        file_systems: file_systems()?,
        interfaces: parsed(proc, "net/dev", |text| Some(network::parse(text)))?,
        load,
        tasks,
    })
}

fn parsed<T>(proc: &Path, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StatsError> {
    let path = proc.join(name);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(StatsError::Read { path, source }),
    };
    parse(&String::from_utf8_lossy(&text)).ok_or(StatsError::Form { path })
}

fn file_systems() -> Result<Vec<FileSystemFigures>, StatsError> {
    let mut devices = Vec::new();
    let mut figures = Vec::new();
    for mount_point in MOUNT_POINTS {
        // An image may not have this directory, and one on the root's own file system adds nothing.
        let Ok(metadata) = fs::metadata(mount_point) else { continue };
        if devices.contains(&metadata.dev()) {
            continue;
        }
        devices.push(metadata.dev());
        let found = rustix::fs::statvfs(mount_point)
            .map_err(|source| StatsError::FileSystem { mount_point, source })?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        figures.push(FileSystemFigures {
            mount_point: mount_point.to_owned(),
            total_bytes: bytes(found.f_blocks),
            used_bytes: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            available_bytes: bytes(found.f_bavail),
        });
    }
    Ok(figures)
}

/// Reads `/proc/loadavg` (`proc_loadavg(5)`): `0.12 0.34 0.56 1/234 5678`.
fn parse_load(text: &str) -> Option<(Vec<f64>, u32)> {
    let mut fields = text.split_ascii_whitespace();
    let load = fields.by_ref().take(3).map(|field| field.parse().ok()).collect::<Option<Vec<f64>>>()?;
    let (_running, tasks) = fields.next()?.split_once('/')?;
    Some((load, tasks.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_three_averages_and_a_count() {
        assert_eq!(parse_load("0.12 0.34 12.56 1/234 5678\n"), Some((vec![0.12, 0.34, 12.56], 234)));
        for bad in ["", "0.1 0.2", "0.1 0.2 0.3 4", "a b c 1/2"] {
            assert_eq!(parse_load(bad), None);
        }
    }

    #[test]
    fn this_machines_figures_can_be_read() {
        let stats = read(Path::new("/proc")).unwrap();
        let memory = stats.memory.unwrap();
        assert!(memory.available_bytes <= memory.total_bytes && memory.total_bytes > 0);
        assert!(stats.cpu.unwrap().count > 0 && stats.uptime_seconds > 0.0 && stats.tasks > 0);
        assert_eq!(stats.file_systems[0].mount_point, "/");
    }
}
