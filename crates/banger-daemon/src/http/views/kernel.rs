//! Kernels as clients see them.

use std::collections::BTreeMap;

use banger_api::{ArtifactFile, CatalogKernel, KernelDetails, KernelView};
use banger_image::{Kernel, KernelEntry};

use crate::facts;

/// Returns a kernel as lists have it.
pub(in crate::http) fn kernel(facts: &facts::KernelFacts) -> KernelView {
    match facts {
        facts::KernelFacts::Local { kernel, description } => local(kernel, description.clone()),
        facts::KernelFacts::InCatalog(entry) => in_catalog(entry),
    }
}

/// Returns a kernel with everything that is known of it.
pub(in crate::http) fn kernel_details(facts: facts::KernelDetails) -> KernelDetails {
    let facts::KernelDetails { kernel: found, vms, images } = facts;
    let view = kernel(&found);
    let facts::KernelFacts::Local { kernel, .. } = found else {
        return KernelDetails {
            kernel: view,
            source: None,
            directory: None,
            files: BTreeMap::new(),
            vms,
            images,
        };
    };
    let files = kernel.manifest.files.iter().map(|(file, record)| {
        let (size_bytes, sha256) = (record.size, record.sha256.clone());
        (file.clone(), ArtifactFile { size_bytes, sha256 })
    });
    KernelDetails {
        kernel: view,
        source: Some(kernel.manifest.source.clone()),
        directory: Some(kernel.directory.display().to_string()),
        files: files.collect(),
        vms,
        images,
    }
}

/// Returns a kernel of the catalog.
pub(in crate::http) fn catalog_kernel(facts: facts::CatalogKernel) -> CatalogKernel {
    let facts::CatalogKernel { entry, is_pulled } = facts;
    let KernelEntry { name, distro, suite, arch, package, description, .. } = entry;
    CatalogKernel { name, is_pulled, distro, suite, arch, package, description }
}

fn in_catalog(entry: &KernelEntry) -> KernelView {
    KernelView {
        name: entry.name.clone(),
        is_pulled: false,
        distro: entry.distro.clone(),
        arch: entry.arch.clone(),
        version: None,
        size_bytes: None,
        created_at: None,
        description: entry.description.clone(),
    }
}

fn local(kernel: &Kernel, description: String) -> KernelView {
    let manifest = &kernel.manifest;
    KernelView {
        name: manifest.name.clone(),
        is_pulled: true,
        distro: manifest.distro.clone(),
        arch: manifest.arch.clone(),
        version: Some(manifest.version.clone()),
        size_bytes: Some(manifest.files.values().map(|file| file.size).sum()),
        created_at: Some(manifest.created_at.clone()),
        description,
    }
}
