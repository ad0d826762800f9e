//! The few settings of the host's apt that a bootstrap needs too: how to reach a mirror, and how old it may be.

use banger_sys::exec::Tool;

const CARRIED: [&str; 6] = [
    "Acquire::http::Proxy ",
    "Acquire::https::Proxy ",
    "Acquire::http::Proxy-Auto-Detect ",
    "Acquire::Check-Valid-Until ",
    "Acquire::Check-Date ",
    "Acquire::Retries ",
];

/// Returns the host's settings, one line of apt's configuration each; none on a host without apt.
pub(crate) async fn carried_settings() -> Vec<String> {
    match Tool::new("apt-config").arg("dump").run().await {
        Ok(output) => select_settings(&String::from_utf8_lossy(&output)),
        Err(error) => {
            tracing::debug!(%error, "the host's apt settings are not carried over");
            Vec::new()
        }
    }
}

fn select_settings(dump: &str) -> Vec<String> {
    let is_carried =
        |line: &&str| CARRIED.iter().any(|name| line.starts_with(name)) && !line.contains("\"\"");
    dump.lines().filter(is_carried).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reaches_a_mirror_is_carried_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://proxy.test:3142\";\n\
                    Acquire::https::Proxy \"\";\nAcquire::Check-Valid-Until \"false\";\nAcquire::CompressionTypes \"\";\n";
        let carried =
            ["Acquire::http::Proxy \"http://proxy.test:3142\";", "Acquire::Check-Valid-Until \"false\";"];
        assert_eq!(select_settings(dump), carried);
    }
}
