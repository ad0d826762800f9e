//! What a build runs on. Builders write the same platform in many ways, so they are compared by what they mean, as
//! containerd does (`platforms.Normalize`): `x86_64` is `amd64`, and nothing is whatever the reader runs.

use serde::Deserialize;

use super::null::null_is_default;

/// What a build runs on, in the words of whoever made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) variant: String,
}

impl Platform {
    /// What guests of this host run.
    pub(crate) fn of_guests() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let variant = if architecture == "amd64" { format!("v{}", amd64_level()) } else { String::new() };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant }
    }

    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns its name beside others: with the variant only where that is the difference.
    pub(super) fn beside<'p>(&self, others: impl IntoIterator<Item = &'p Self>) -> String {
        let differs_by_variant = |other: &Self| normal(&other.architecture, "").0 == self.architecture;
        if others.into_iter().any(differs_by_variant) {
            self.to_string()
        } else {
            Self { variant: String::new(), ..self.clone() }.to_string()
        }
    }

    /// Tells whether nothing is said, so that only the build itself can tell.
    pub(super) fn is_blank(&self) -> bool {
        self.os.is_empty() && self.architecture.is_empty()
    }

    /// Tells whether this is something beside the builds, which pretends to be one: an attestation.
    pub(super) fn is_no_build(&self) -> bool {
        self.os == "unknown"
    }

    pub(super) fn runs(&self, build: &Self) -> bool {
        self.preference(build).is_some()
    }

    /// Tells how well a build suits, where it runs at all; more is better. A build for every processor comes first, as with
    /// docker and podman: it runs also where the guest's processor is not the host's. Then what is nearest to the best.
    pub(super) fn preference(&self, build: &Self) -> Option<u32> {
        let os = build.os.to_lowercase();
        let (architecture, variant) = normal(&build.architecture, &build.variant);
        if !(os.is_empty() || os == self.os)
            || !(architecture.is_empty() || architecture == self.architecture)
        {
            return None;
        }
        let Some(level) = variant.strip_prefix('v').and_then(|level| level.parse::<u32>().ok()) else {
            return Some(if variant.is_empty() { u32::MAX } else { 0 });
        };
        let own = self.variant.strip_prefix('v').and_then(|level| level.parse::<u32>().ok());
        own.is_none_or(|own| level <= own).then_some(level)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { os, architecture, variant } = self;
        write!(formatter, "{os}/{architecture}{}{variant}", if variant.is_empty() { "" } else { "/" })
    }
}

/// Returns architecture and variant in Go's words; the variant that every processor of the architecture has is none.
fn normal(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("amd64" | "x86_64" | "x86-64" | "x64", "v1") => ("amd64", ""),
        ("amd64" | "x86_64" | "x86-64" | "x64", variant) => ("amd64", variant),
        ("arm64" | "aarch64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("arm64" | "aarch64", variant) => ("arm64", variant),
        ("i386" | "i486" | "i586" | "i686" | "x86", variant) => ("386", variant),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

/// Returns the level of the x86-64 psABI that this host's processor has.
#[cfg(target_arch = "x86_64")]
fn amd64_level() -> u32 {
    use std::arch::is_x86_feature_detected as has;
    let is_v2 = has!("sse4.2") && has!("ssse3") && has!("popcnt") && has!("cmpxchg16b");
    let is_v3 = has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("fma")
        && has!("f16c")
        && has!("movbe")
        && has!("lzcnt");
    let is_v4 =
        has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    match (is_v2, is_v3, is_v4) {
        (true, true, true) => 4,
        (true, true, false) => 3,
        (true, false, _) => 2,
        (false, ..) => 1,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn amd64_level() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut words = text.split('/').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Platform { os: word(), architecture: word(), variant: word() }
    }

    #[test]
    fn a_platform_is_what_it_means() {
        let own = platform("linux/amd64/v3");
        for same in [
            "linux/amd64",
            "linux/x86_64",
            "Linux/AMD64",
            "linux/x86-64/v1",
            "",
            "linux/",
            "/amd64",
            "linux/amd64/v3",
        ] {
            assert!(own.runs(&platform(same)), "{same}");
        }
        for other in ["windows/amd64", "linux/arm64", "linux/i386", "linux/amd64/v4", "unknown/unknown"] {
            assert!(!own.runs(&platform(other)), "{other}");
        }
        for same in ["linux/aarch64", "linux/arm64/v8", "linux/arm64/8", "linux/arm64/v9"] {
            assert!(platform("linux/arm64").runs(&platform(same)), "{same}");
        }
    }

    #[test]
    fn a_build_for_every_processor_comes_before_the_best_one() {
        let own = platform("linux/amd64/v3");
        let best = |builds: &[&str]| {
            let ranked = builds.iter().filter_map(|build| Some((own.preference(&platform(build))?, *build)));
            ranked.max().map(|(_, build)| build.to_owned())
        };
        assert_eq!(
            best(&["linux/amd64/v4", "linux/amd64/v3", "linux/amd64"]).as_deref(),
            Some("linux/amd64")
        );
        assert_eq!(
            best(&["linux/amd64/v2", "linux/amd64/v4", "linux/amd64/v3"]).as_deref(),
            Some("linux/amd64/v3")
        );
        assert_eq!(best(&["linux/amd64/v4"]), None);
        assert!((1..=4).contains(&amd64_level()));
    }
}
