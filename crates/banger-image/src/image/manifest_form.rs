//! The text of an image's manifest, in every format that there has been.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use banger_model::{ImageName, KernelName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::artifact::Manifest as _;
use crate::artifact::digest::FileRecord;
use crate::artifact::linked_file::LinkedFile;
use crate::image::authorized_key::KeyFingerprint;
use crate::image::manifest::{ImageManifest, LinkedFiles, ManagedFiles, ROOTFS, Source};
use crate::image::process::ImageProcess;

/// What is written: format 2.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageForm {
    format_version: u32,
    name: ImageName,
    id: String,
    distro: String,
    arch: String,
    kernel: KernelName,
    source: SourceForm,
    ready_ports: Vec<NonZeroU16>,
    init: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<ImageProcess>,
    packages: Vec<String>,
    origin: String,
    created_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SourceForm {
    Managed {
        rootfs: FileRecord,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        home: Option<FileRecord>,
        seeded_key: Option<KeyFingerprint>,
    },
    Linked {
        rootfs: LinkedFile,
        work_seed: Option<LinkedFile>,
    },
}

/// Format 1: the work-seed was a tar without a key.
#[derive(Debug, Deserialize)]
struct FirstForm {
    name: ImageName,
    id: String,
    distro: String,
    arch: String,
    kernel: KernelName,
    files: BTreeMap<String, FileRecord>,
    ready_ports: Vec<NonZeroU16>,
    init: Option<String>,
    packages: Vec<String>,
    source: String,
    created_at: String,
}

impl From<ImageManifest> for ImageForm {
    fn from(manifest: ImageManifest) -> Self {
        let source = match manifest.source {
            Source::Managed(ManagedFiles { rootfs, home, seeded_key }) => {
                SourceForm::Managed { rootfs, home, seeded_key }
            }
            Source::Linked(LinkedFiles { rootfs, work_seed }) => SourceForm::Linked { rootfs, work_seed },
        };
        Self {
            format_version: ImageManifest::FORMAT_VERSION,
            name: manifest.name,
            id: manifest.id,
            distro: manifest.distro,
            arch: manifest.arch,
            kernel: manifest.kernel,
            source,
            ready_ports: manifest.ready_ports,
            init: manifest.init,
            process: manifest.process,
            packages: manifest.packages,
            origin: manifest.origin,
            created_at: manifest.created_at,
        }
    }
}

impl From<ImageForm> for ImageManifest {
    fn from(form: ImageForm) -> Self {
        let source = match form.source {
            SourceForm::Managed { rootfs, home, seeded_key } => {
                Source::Managed(ManagedFiles { rootfs, home, seeded_key })
            }
            SourceForm::Linked { rootfs, work_seed } => Source::Linked(LinkedFiles { rootfs, work_seed }),
        };
        Self {
            name: form.name,
            id: form.id,
            distro: form.distro,
            arch: form.arch,
            kernel: form.kernel,
            source,
            ready_ports: form.ready_ports,
            init: form.init,
            process: form.process,
            packages: form.packages,
            origin: form.origin,
            created_at: form.created_at,
        }
    }
}

impl FirstForm {
    fn into_manifest(mut self) -> Result<ImageManifest, serde_json::Error> {
        let Some(rootfs) = self.files.remove(ROOTFS) else {
            return Err(serde::de::Error::missing_field(ROOTFS));
        };
        Ok(ImageManifest {
            name: self.name,
            id: self.id,
            distro: self.distro,
            arch: self.arch,
            kernel: self.kernel,
            source: Source::Managed(ManagedFiles { rootfs, home: None, seeded_key: None }),
            ready_ports: self.ready_ports,
            init: self.init,
            process: None,
            packages: self.packages,
            origin: self.source,
            created_at: self.created_at,
        })
    }
}

impl Serialize for ImageManifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ImageForm::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ImageManifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = serde_json::Value::deserialize(deserializer)?;
        let manifest = match text.get("format_version").and_then(serde_json::Value::as_u64) {
            Some(1) => serde_json::from_value(text).and_then(FirstForm::into_manifest),
            Some(_) | None => serde_json::from_value::<ImageForm>(text).map(Self::from),
        };
        manifest.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::manifest_bytes;

    fn parse(text: &str) -> ImageManifest {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_first_format_stays_readable_and_its_seed_is_still_to_be_made() {
        let manifest = parse(include_str!("../../testdata/image-manifest-1.json"));
        assert_eq!(manifest.kernel.as_str(), "debian-12");
        assert_eq!(manifest.ready_ports, [NonZeroU16::new(22).unwrap()]);
        assert_eq!(manifest.origin, "Debian bookworm packages");
        let Source::Managed(files) = manifest.source else { panic!("it is ours") };
        assert_eq!((files.rootfs.size, files.seeded_key), (3, None));
    }

    #[test]
    fn the_second_format_stays_readable_and_is_written_as_it_is() {
        for text in [
            include_str!("../../testdata/image-manifest-2-managed.json"),
            include_str!("../../testdata/image-manifest-2-linked.json"),
            include_str!("../../testdata/image-manifest-2-process.json"),
            include_str!("../../testdata/image-manifest-2-promoted.json"),
        ] {
            assert_eq!(String::from_utf8(manifest_bytes(&parse(text)).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_source_is_one_or_the_other() {
        let text = include_str!("../../testdata/image-manifest-2-managed.json");
        for (from, to) in [("\"managed\"", "\"neither\""), ("SHA256:", "MD5:"), ("\"rootfs\"", "\"root\"")] {
            assert!(serde_json::from_str::<ImageManifest>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
