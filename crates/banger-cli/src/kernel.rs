//! `kernel list|show|pull|import|rm|catalog`.

use banger_api::{CatalogKernel, ImportKernel, KernelDetails, KernelView, PullRequest};
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::args_kernel::{ImportArgs, KernelCommand};
use crate::ensure::ensure;
use crate::error::CliError;
use crate::progress::Board;
use crate::pull::pull;
use crate::removal::{KERNELS, remove};
use crate::render::{self, ago, bytes};

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: KernelCommand, board: &Board) -> Result<(), CliError> {
    match command {
        KernelCommand::List { available, json } => list(paths, available, json.json).await,
        KernelCommand::Show { name, json } => {
            let kernel: KernelDetails = ensure(paths).await?.get(&format!("/v1/kernels/{name}")).await?;
            if json.json {
                render::print_json(&kernel)
            } else {
                render::print(&sheet(&kernel, Timestamp::now()))
            }
        }
        KernelCommand::Pull { name, pull: args } => {
            let request = PullRequest { name: name.into(), force: args.force };
            pull(paths, "/v1/kernels:pull", &request, args.json, board).await
        }
        KernelCommand::Import(args) => import(paths, args, board).await,
        KernelCommand::Rm { names, json } => remove(paths, KERNELS, names, json.json, board).await,
        KernelCommand::Catalog(args) => {
            let kernels: Vec<CatalogKernel> = ensure(paths).await?.get("/v1/catalog/kernels").await?;
            if args.json { render::print_json(&kernels) } else { render::print(&catalog_table(&kernels)) }
        }
    }
}

async fn list(paths: &Paths, available: bool, as_json: bool) -> Result<(), CliError> {
    let mut kernels: Vec<KernelView> = ensure(paths).await?.get("/v1/kernels").await?;
    kernels.retain(|kernel| available || kernel.is_pulled);
    if as_json { render::print_json(&kernels) } else { render::print(&table(&kernels, Timestamp::now())) }
}

async fn import(paths: &Paths, args: ImportArgs, board: &Board) -> Result<(), CliError> {
    let ImportArgs { from, distro, release, name, sha256, force, json } = args;
    // The daemon has a working directory of its own.
    let absolute = std::path::absolute(&from).ok().and_then(|path| path.to_str().map(str::to_owned));
    let from = absolute.ok_or(CliError::BadPath { path: from })?;
    let request = ImportKernel { from, name, distro, release, sha256, force };
    pull(paths, "/v1/kernels", &request, json.json, board).await
}

fn table(kernels: &[KernelView], now: Timestamp) -> String {
    let row = |kernel: &KernelView| {
        vec![
            kernel.name.to_string(),
            if kernel.is_pulled { "here" } else { "available" }.to_owned(),
            kernel.distro.clone(),
            kernel.arch.clone(),
            kernel.version.clone().unwrap_or_default(),
            kernel.size_bytes.map(bytes).unwrap_or_default(),
            kernel.created_at.as_deref().map(|moment| ago(moment, now)).unwrap_or_default(),
            kernel.description.clone(),
        ]
    };
    let head = ["NAME", "STATE", "DISTRO", "ARCH", "VERSION", "SIZE", "CREATED", "DESCRIPTION"];
    render::table(&head, &kernels.iter().map(row).collect::<Vec<_>>())
}

fn catalog_table(kernels: &[CatalogKernel]) -> String {
    let row = |kernel: &CatalogKernel| {
        vec![
            kernel.name.to_string(),
            if kernel.is_pulled { "here" } else { "available" }.to_owned(),
            kernel.distro.clone(),
            kernel.suite.clone(),
            kernel.arch.clone(),
            kernel.package.clone(),
            kernel.description.clone(),
        ]
    };
    let head = ["NAME", "STATE", "DISTRO", "SUITE", "ARCH", "PACKAGE", "DESCRIPTION"];
    render::table(&head, &kernels.iter().map(row).collect::<Vec<_>>())
}

fn sheet(details: &KernelDetails, now: Timestamp) -> String {
    let kernel = &details.kernel;
    let words = |names: Vec<String>| (!names.is_empty()).then(|| names.join(", "));
    let created = kernel.created_at.as_deref().map(|moment| format!("{} ({moment})", ago(moment, now)));
    let lines = [
        ("name", Some(kernel.name.to_string())),
        ("state", Some(if kernel.is_pulled { "here" } else { "available" }.to_owned())),
        ("about", Some(kernel.description.clone()).filter(|text| !text.is_empty())),
        ("distro", Some(kernel.distro.clone())),
        ("arch", Some(kernel.arch.clone())),
        ("version", kernel.version.clone()),
        ("source", details.source.clone()),
        ("created", created),
        ("size", kernel.size_bytes.map(bytes)),
        ("directory", details.directory.clone()),
        ("used by", words(details.vms.iter().map(ToString::to_string).collect())),
        ("images", words(details.images.iter().map(ToString::to_string).collect())),
    ];
    let facts = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let files = details.files.iter().map(|(name, file)| {
        let size = bytes(file.size_bytes);
        ("file", format!("{name:<14}{size:>10}  sha256:{}", file.sha256))
    });
    render::sheet(12, facts.chain(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels() -> Vec<KernelView> {
        serde_json::from_value(serde_json::json!([
            { "name": "debian-12", "is_pulled": false, "distro": "debian", "arch": "amd64",
              "description": "Debian 12's kernel" },
            { "name": "void-6.12.68_1", "is_pulled": true, "distro": "void", "arch": "x86_64",
              "version": "6.12.68_1", "size_bytes": 300 << 20, "created_at": "1970-01-01T00:00:00Z" }
        ]))
        .unwrap()
    }

    #[test]
    fn kernels_are_a_table() {
        insta::assert_snapshot!(table(&kernels(), Timestamp::UNIX_EPOCH), @r"
        NAME            STATE      DISTRO  ARCH    VERSION    SIZE       CREATED        DESCRIPTION
        debian-12       available  debian  amd64   -          -          -              Debian 12's kernel
        void-6.12.68_1  here       void    x86_64  6.12.68_1  300.0 MiB  0 seconds ago  -
        ");
    }

    #[test]
    fn the_catalog_is_a_table() {
        let kernels: Vec<CatalogKernel> = serde_json::from_value(serde_json::json!([
            { "name": "debian-12", "is_pulled": true, "distro": "debian", "suite": "bookworm", "arch": "amd64",
              "package": "linux-image-cloud-amd64", "description": "Debian 12's kernel" }
        ]))
        .unwrap();
        insta::assert_snapshot!(catalog_table(&kernels), @r"
        NAME       STATE  DISTRO  SUITE     ARCH   PACKAGE                  DESCRIPTION
        debian-12  here   debian  bookworm  amd64  linux-image-cloud-amd64  Debian 12's kernel
        ");
    }

    #[test]
    fn a_kernel_is_shown_with_its_files_and_who_uses_it() {
        let kernel: KernelDetails = serde_json::from_value(serde_json::json!({
            "name": "void-6.12.68_1", "is_pulled": true, "distro": "void", "arch": "x86_64",
            "version": "6.12.68_1", "size_bytes": 300 << 20, "created_at": "1970-01-01T00:00:00Z",
            "source": "/srv/void", "directory": "/state/kernels/void-6.12.68_1", "vms": ["dev", "test"],
            "files": { "vmlinux": { "size_bytes": 51 << 20, "sha256": "ab12" },
                       "modules.ext4": { "size_bytes": 200 << 20, "sha256": "cd34" } }
        }))
        .unwrap();
        insta::assert_snapshot!(sheet(&kernel, Timestamp::UNIX_EPOCH), @r"
        name        void-6.12.68_1
        state       here
        distro      void
        arch        x86_64
        version     6.12.68_1
        source      /srv/void
        created     0 seconds ago (1970-01-01T00:00:00Z)
        size        300.0 MiB
        directory   /state/kernels/void-6.12.68_1
        used by     dev, test
        file        modules.ext4   200.0 MiB  sha256:cd34
        file        vmlinux         51.0 MiB  sha256:ab12
        ");
        let available = KernelDetails {
            kernel: kernels().swap_remove(0),
            source: None,
            directory: None,
            files: std::collections::BTreeMap::new(),
            vms: Vec::new(),
            images: Vec::new(),
        };
        insta::assert_snapshot!(sheet(&available, Timestamp::UNIX_EPOCH), @r"
        name        debian-12
        state       available
        about       Debian 12's kernel
        distro      debian
        arch        amd64
        ");
    }
}
