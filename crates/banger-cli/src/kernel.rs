//! `kernel list|show|pull|import|delete|catalog`.

use banger_api::{CatalogKernel, ImportKernel, KernelDetails, KernelView, PullRequest, route};
use banger_client::Removable;
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::args::kernel::{ImportArgs, KernelCommand};
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::host_path::absolute;
use crate::progress::Board;
use crate::pull::pull;
use crate::removal::{Removal, remove};
use crate::render::{self, ago, bytes};

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: KernelCommand, board: &Board) -> Result<(), CliError> {
    match command {
        KernelCommand::List(args) => list(paths, args.all, Form::of(args.json.json, board)).await,
        KernelCommand::Show { name, json } => {
            let kernel: KernelDetails = ensure(paths).await?.get(route::SHOW_KERNEL.of(name)).await?;
            let form = Form::of(json.json, board);
            form.print(&kernel, kernel.kernel.name.as_str(), || sheet(&kernel, Timestamp::now()))
        }
        KernelCommand::Pull { name, pull: args } => {
            let request = PullRequest { name, force: args.force };
            pull(paths, route::PULL_KERNEL, route::SHOW_KERNEL, &request, args.json, board).await
        }
        KernelCommand::Import(args) => import(paths, args, board).await,
        KernelCommand::Delete { names, force, json } => {
            let wish = Removal { may_be_gone: force, as_json: json.json };
            remove(paths, Removable::Kernel { force }, names, wish, board).await
        }
        KernelCommand::Catalog(args) => {
            let kernels: Vec<CatalogKernel> = ensure(paths).await?.get(route::LIST_CATALOG_KERNELS).await?;
            let form = Form::of(args.json, board);
            form.print_all(&kernels, |kernel| kernel.name.as_str(), || catalog_table(&kernels))
        }
    }
}

async fn list(paths: &Paths, with_catalog: bool, form: Form) -> Result<(), CliError> {
    let mut kernels: Vec<KernelView> = ensure(paths).await?.get(route::LIST_KERNELS).await?;
    kernels.retain(|kernel| with_catalog || kernel.is_pulled);
    if kernels.is_empty() && form == Form::Text {
        render::say("no kernels yet; `banger kernel list --all` shows those of the catalog");
    }
    form.print_all(&kernels, |kernel| kernel.name.as_str(), || table(&kernels, Timestamp::now()))
}

async fn import(paths: &Paths, args: ImportArgs, board: &Board) -> Result<(), CliError> {
    let ImportArgs { from, distro, release, name, sha256, force, json } = args;
    let request = ImportKernel { from: absolute(&from)?, name, distro, release, sha256, force };
    pull(paths, route::IMPORT_KERNEL, route::SHOW_KERNEL, &request, json.json, board).await
}

fn table(kernels: &[KernelView], now: Timestamp) -> String {
    let row = |kernel: &KernelView| {
        vec![
            kernel.name.to_string(),
            if kernel.is_pulled { "local" } else { "catalog" }.to_owned(),
            kernel.distro.clone(),
            kernel.arch.clone(),
            kernel.version.clone().unwrap_or_default(),
            kernel.size_bytes.map(bytes).unwrap_or_default(),
            kernel.created_at.as_deref().map(|moment| ago(moment, now)).unwrap_or_default(),
            kernel.description.clone(),
        ]
    };
    let head = ["NAME", "WHERE", "DISTRO", "ARCH", "VERSION", "SIZE", "CREATED", "DESCRIPTION"];
    render::table(&head, &kernels.iter().map(row).collect::<Vec<_>>())
}

fn catalog_table(kernels: &[CatalogKernel]) -> String {
    let row = |kernel: &CatalogKernel| {
        vec![
            kernel.name.to_string(),
            if kernel.is_pulled { "local" } else { "catalog" }.to_owned(),
            kernel.distro.clone(),
            kernel.suite.clone(),
            kernel.arch.clone(),
            kernel.package.clone(),
            kernel.description.clone(),
        ]
    };
    let head = ["NAME", "WHERE", "DISTRO", "SUITE", "ARCH", "PACKAGE", "DESCRIPTION"];
    render::table(&head, &kernels.iter().map(row).collect::<Vec<_>>())
}

fn sheet(details: &KernelDetails, now: Timestamp) -> String {
    let kernel = &details.kernel;
    let words = |names: Vec<String>| (!names.is_empty()).then(|| names.join(", "));
    let created = kernel.created_at.as_deref().map(|moment| format!("{} ({moment})", ago(moment, now)));
    let lines = [
        ("name", Some(kernel.name.to_string())),
        ("where", Some(if kernel.is_pulled { "local" } else { "catalog" }.to_owned())),
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
        NAME            WHERE    DISTRO  ARCH    VERSION    SIZE       CREATED        DESCRIPTION
        debian-12       catalog  debian  amd64   -          -          -              Debian 12's kernel
        void-6.12.68_1  local    void    x86_64  6.12.68_1  300.0 MiB  0 seconds ago  -
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
        NAME       WHERE  DISTRO  SUITE     ARCH   PACKAGE                  DESCRIPTION
        debian-12  local  debian  bookworm  amd64  linux-image-cloud-amd64  Debian 12's kernel
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
        where       local
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
        where       catalog
        about       Debian 12's kernel
        distro      debian
        arch        amd64
        ");
    }
}
