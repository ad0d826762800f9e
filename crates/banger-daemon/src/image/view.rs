//! Images as clients see them.

use std::collections::BTreeMap;

use banger_api::{ArtifactFile, ImageDetails, ImageProcessView, ImageView};
use banger_image::{Image, ImageEntry, LinkedFiles, ManagedFiles, Source, registry_reference};
use banger_model::VmName;

/// Returns an image as lists have it.
pub(super) fn view(image: &Image, description: String) -> ImageView {
    let manifest = &image.manifest;
    ImageView {
        name: manifest.name.clone(),
        is_pulled: true,
        is_registered: matches!(manifest.source, Source::Linked(_)),
        reference: registry_reference(&manifest.origin).map(str::to_owned),
        kernel: manifest.kernel.clone(),
        arch: manifest.arch.clone(),
        size_bytes: Some(manifest.size_bytes()),
        created_at: Some(manifest.created_at.clone()),
        description,
    }
}

/// Returns what is known of an image that is here.
pub(super) fn details(image: &Image, description: String, vms: Vec<VmName>) -> ImageDetails {
    let manifest = &image.manifest;
    let files = banger_image::Manifest::files(manifest).into_iter().map(|(name, record)| {
        let (size_bytes, sha256) = (record.size, record.sha256.clone());
        (name.to_owned(), ArtifactFile { size_bytes, sha256 })
    });
    let (host_files, seeded_key) = match &manifest.source {
        Source::Managed(ManagedFiles { seeded_key, .. }) => {
            (Vec::new(), seeded_key.as_ref().map(ToString::to_string))
        }
        Source::Linked(LinkedFiles { rootfs, work_seed }) => {
            let files = [Some(rootfs), work_seed.as_ref()].into_iter().flatten();
            (files.map(|file| file.path.display().to_string()).collect(), None)
        }
    };
    let process = manifest.process.as_ref().map(|process| ImageProcessView {
        command: process.command.clone(),
        environment: process.environment.clone(),
        user: process.user.clone(),
        working_directory: process.working_directory.clone(),
    });
    ImageDetails {
        image: view(image, description),
        id: Some(manifest.id.clone()),
        distro: manifest.distro.clone(),
        source: Some(manifest.origin.clone()),
        directory: Some(image.directory.display().to_string()),
        files: files.collect(),
        host_files,
        seeded_key,
        ready_ports: manifest.ready_ports.iter().map(|port| port.get()).collect(),
        process,
        packages: manifest.packages.clone(),
        vms,
    }
}

/// Returns an image of the catalog as lists have it.
pub(super) fn view_of_entry(entry: &ImageEntry) -> ImageView {
    ImageView {
        name: entry.name.clone(),
        is_pulled: false,
        is_registered: false,
        reference: None,
        kernel: entry.kernel.clone(),
        arch: entry.arch.clone(),
        size_bytes: None,
        created_at: None,
        description: entry.description.clone(),
    }
}

/// Returns what is known of an image of the catalog.
pub(super) fn details_of_entry(entry: &ImageEntry, vms: Vec<VmName>) -> ImageDetails {
    ImageDetails {
        image: view_of_entry(entry),
        id: None,
        distro: entry.distro.clone(),
        source: None,
        directory: None,
        files: BTreeMap::new(),
        host_files: Vec::new(),
        seeded_key: None,
        ready_ports: Vec::new(),
        process: None,
        packages: Vec::new(),
        vms,
    }
}
