//! Images and bundles as clients see them.

use std::collections::BTreeMap;

use banger_api::{ArtifactFile, BundleView, ErrorBody, ImageDetails, ImageProcessView, ImageView};
use banger_image::{Image, ImageEntry, LinkedFiles, ManagedFiles, PackedBundle, Source, registry_reference};
use banger_model::VmName;

use crate::facts;

/// Returns an image as lists have it.
pub(in crate::http) fn image(facts: &facts::ImageFacts) -> ImageView {
    match facts {
        facts::ImageFacts::Local { image, description } => local(image, description.clone()),
        facts::ImageFacts::InCatalog(entry) => in_catalog(entry),
    }
}

/// Returns an image with everything that is known of it.
pub(in crate::http) fn image_details(facts: facts::ImageDetails) -> ImageDetails {
    let view = image(&facts.image);
    match facts.image {
        facts::ImageFacts::Local { image, .. } => local_details(&image, view, facts.vms),
        facts::ImageFacts::InCatalog(entry) => details_in_catalog(&entry, view, facts.vms),
    }
}

/// Returns a bundle that was made.
pub(in crate::http) fn bundle(packed: &PackedBundle) -> Result<BundleView, ErrorBody> {
    Ok(BundleView {
        path: packed.path.display().to_string(),
        size_bytes: packed.record.size,
        sha256: packed.record.sha256.parse().map_err(|error| ErrorBody::internal(&error))?,
    })
}

fn local(image: &Image, description: String) -> ImageView {
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

fn local_details(image: &Image, view: ImageView, vms: Vec<VmName>) -> ImageDetails {
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
        image: view,
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

fn in_catalog(entry: &ImageEntry) -> ImageView {
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

fn details_in_catalog(entry: &ImageEntry, view: ImageView, vms: Vec<VmName>) -> ImageDetails {
    ImageDetails {
        image: view,
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
