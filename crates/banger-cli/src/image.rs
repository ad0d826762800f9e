//! The commands under `image`.

use std::path::Path;
use std::time::Duration;

use banger_api::{ImageView, PruneCache, PrunedCache, PullImage};
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::args_image::{CacheCommand, ImageCommand, PullImageArgs};
use crate::bundle;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::progress::Board;
use crate::pull::pull;
use crate::render::{self, ago, bytes};

/// How long the daemon may take to remove what may be many gigabytes.
const PRUNE_DEADLINE: Duration = Duration::from_secs(120);

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: ImageCommand, board: &Board) -> Result<(), CliError> {
    match command {
        ImageCommand::Pull(args) => {
            if let Some(location) = args.bundle.clone() {
                return bundle::pull_bundle(paths, &location, args, board).await;
            }
            let as_json = args.pull.json;
            pull(paths, "/v1/images/pull", &request(args)?, as_json, board).await
        }
        ImageCommand::Bundle { name, output, json } => {
            bundle::pack(paths, &name, output, json.json, board).await
        }
        ImageCommand::Cache(CacheCommand::Prune { dry_run, json }) => {
            let client = ensure(paths).await?;
            let request = PruneCache { dry_run };
            let pruned: PrunedCache =
                client.post_within("/v1/images/cache/prune", &request, PRUNE_DEADLINE).await?;
            if json.json { render::print_json(&pruned) } else { render::print(&pruned_line(pruned, dry_run)) }
        }
        ImageCommand::List(args) => {
            let images: Vec<ImageView> = ensure(paths).await?.get("/v1/images").await?;
            if args.json {
                render::print_json(&images)
            } else {
                render::print(&table(&images, Timestamp::now()))
            }
        }
    }
}

/// Returns the request, with what only this process knows: its working directory and its docker.
fn request(args: PullImageArgs) -> Result<PullImage, CliError> {
    Ok(PullImage {
        // The command line has asked for it where there is no bundle.
        source: absolute_source(&args.source.unwrap_or_default())?,
        name: args.name,
        kernel: args.kernel,
        force: args.pull.force,
        insecure_http: args.insecure_http,
        docker_config: match std::env::var_os("DOCKER_CONFIG").filter(|directory| !directory.is_empty()) {
            Some(directory) => Some(absolute(Path::new(&directory))?),
            None => None,
        },
    })
}

fn absolute_source(source: &str) -> Result<String, CliError> {
    for prefix in ["oci:", "docker-archive:"] {
        if let Some(path) = source.strip_prefix(prefix).filter(|path| !path.is_empty()) {
            return Ok(format!("{prefix}{}", absolute(Path::new(path))?));
        }
    }
    Ok(source.to_owned())
}

pub(crate) fn absolute(path: &Path) -> Result<String, CliError> {
    let absolute = std::path::absolute(path).map_err(CliError::WorkingDirectory)?;
    Ok(absolute.to_string_lossy().into_owned())
}

fn pruned_line(pruned: PrunedCache, is_dry_run: bool) -> String {
    let PrunedCache { blobs, bytes: freed } = pruned;
    let what = if blobs == 1 { "blob" } else { "blobs" };
    let verb = if is_dry_run { "would free" } else { "freed" };
    format!("{verb} {} in {blobs} {what}\n", bytes(freed))
}

fn table(images: &[ImageView], now: Timestamp) -> String {
    let row = |image: &ImageView| {
        vec![
            image.name.to_string(),
            if image.is_pulled { "here" } else { "catalog" }.to_owned(),
            image.kernel.to_string(),
            image.arch.clone(),
            image.size_bytes.map(bytes).unwrap_or_default(),
            image.created_at.as_deref().map(|moment| ago(moment, now)).unwrap_or_default(),
            image.description.clone(),
        ]
    };
    let head = ["NAME", "WHERE", "KERNEL", "ARCH", "SIZE", "CREATED", "DESCRIPTION"];
    render::table(&head, &images.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_source_is_made_absolute_and_a_reference_stays() {
        let here = std::env::current_dir().unwrap();
        let expected = format!("oci:{}/layout:v1", here.display());
        assert_eq!(absolute_source("oci:./layout:v1").unwrap(), expected);
        assert_eq!(absolute_source("docker-archive:/a.tar").unwrap(), "docker-archive:/a.tar");
        for source in ["alpine:3.20", "ghcr.io/a/b", "oci:"] {
            assert_eq!(absolute_source(source).unwrap(), source);
        }
    }

    #[test]
    fn what_was_freed_is_told_in_one_line() {
        assert_eq!(pruned_line(PrunedCache { blobs: 1, bytes: 3 << 20 }, false), "freed 3.0 MiB in 1 blob\n");
        let line = pruned_line(PrunedCache { blobs: 0, bytes: 0 }, true);
        assert_eq!(line, format!("would free {} in 0 blobs\n", bytes(0)));
    }

    #[test]
    fn images_are_a_table() {
        let images: Vec<ImageView> = serde_json::from_value(serde_json::json!([
            { "name": "debian-bookworm", "is_pulled": true, "kernel": "debian-12", "arch": "amd64",
              "size_bytes": 700 << 20, "created_at": "2026-01-01T00:00:00Z", "description": "Debian 12" },
            { "name": "alpine", "is_pulled": false, "kernel": "debian-12", "arch": "amd64" }
        ]))
        .unwrap();
        insta::assert_snapshot!(table(&images, "2026-01-01T00:03:00Z".parse().unwrap()), @r"
        NAME             WHERE    KERNEL     ARCH   SIZE       CREATED        DESCRIPTION
        debian-bookworm  here     debian-12  amd64  700.0 MiB  3 minutes ago  Debian 12
        alpine           catalog  debian-12  amd64  -          -              -
        ");
    }
}
