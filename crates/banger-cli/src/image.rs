//! The commands under `image`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::{ImageDetails, ImageView, PruneCache, PrunedCache, PullImage, RegisterImage, route};
use banger_client::Removable;
use banger_model::ByteCount;
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::archive_input::{ArchiveInput, ArchiveInputError};
use crate::args::image::{CacheCommand, ImageCommand, PullImageArgs, RegisterArgs};
use crate::bundle;
use crate::ensure::ensure;
use crate::error::{CliError, Kind};
use crate::form::Form;
use crate::host_path::absolute;
use crate::progress::Board;
use crate::pull::pull;
use crate::removal::{Removal, remove};
use crate::render::{self, ago, bytes};
use crate::source_path;
use crate::streamed_source::{StreamedSource, split};

/// How long the daemon may take to remove what may be many gigabytes.
const PRUNE_DEADLINE: Duration = Duration::from_secs(120);

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: ImageCommand, board: &Board) -> Result<(), CliError> {
    match command {
        ImageCommand::Pull(args) => {
            if let Some(location) = args.bundle.clone() {
                return bundle::pull_bundle(paths, &location, args, board).await;
            }
            refuse_needless(&args)?;
            let as_json = args.pull.json;
            let mut request = request(args);
            source_path::refuse(&request.source)?;
            let input = match StreamedSource::of(&request.source) {
                Some(streamed) => {
                    let input = ArchiveInput::read(&streamed, paths, board).await?;
                    (request.source, request.input) = (streamed.source, Some(absolute(&input.path())?));
                    Some(input)
                }
                None => None,
            };
            // `input` is open until the pull has ended.
            let request = with_our_docker(request)?;
            let pulled = pull(paths, route::PULL_IMAGE, route::SHOW_IMAGE, &request, as_json, board).await;
            drop(input);
            pulled
        }
        ImageCommand::Register(args) => register(paths, args, board).await,
        ImageCommand::Promote { name, json } => {
            pull(paths, route::PROMOTE_IMAGE.of(name), route::SHOW_IMAGE, &(), json.json, board).await
        }
        ImageCommand::Delete { names, force, json } => {
            let wish = Removal { may_be_gone: force, as_json: json.json };
            remove(paths, Removable::Image, names, wish, board).await
        }
        ImageCommand::Show { name, json } => {
            let image: ImageDetails = ensure(paths).await?.get(route::SHOW_IMAGE.of(name)).await?;
            let form = Form::of(json.json, board);
            form.print(&image, image.image.name.as_str(), || sheet(&image, Timestamp::now()))
        }
        ImageCommand::Bundle { name, output, json } => {
            bundle::pack(paths, &name, output, json.json, board).await
        }
        ImageCommand::Cache(CacheCommand::Prune { dry_run, json }) => {
            let client = ensure(paths).await?;
            let request = PruneCache { dry_run };
            let pruned: PrunedCache =
                client.post_within(route::PRUNE_IMAGE_CACHE, &request, PRUNE_DEADLINE).await?;
            if json.json { render::print_json(&pruned) } else { render::print(&pruned_line(pruned, dry_run)) }
        }
        ImageCommand::List(args) => {
            let mut images: Vec<ImageView> = ensure(paths).await?.get(route::LIST_IMAGES).await?;
            images.retain(|image| args.all || image.is_pulled);
            let form = Form::of(args.json.json, board);
            if images.is_empty() && form == Form::Text {
                render::say("no images yet; `banger image list --all` shows those of the catalog");
            }
            form.print_all(&images, |image| image.name.as_str(), || table(&images, Timestamp::now()))
        }
    }
}

/// Refuses what only a bundle can be checked with: without an error, who typed it would believe that something was checked.
fn refuse_needless(args: &PullImageArgs) -> Result<(), CliError> {
    let option = match (&args.sha256, &args.minisign_key) {
        (Some(_), _) => "--sha256",
        (None, Some(_)) => "--minisign-key",
        (None, None) => return Ok(()),
    };
    let sentence = format!("`{option}` needs `--bundle`");
    Err(CliError::new(Kind::Usage, sentence).with_hint("banger image pull --help".to_owned()))
}

fn request(args: PullImageArgs) -> PullImage {
    PullImage {
        // The command line has asked for it where there is no bundle.
        source: args.source.unwrap_or_default(),
        name: args.name,
        kernel: args.kernel,
        force: args.pull.force,
        insecure_http: args.insecure_http,
        max_bytes: args.max_size.map(ByteCount::get),
        ..PullImage::default()
    }
}

/// Returns the request with what only this process knows: its working directory, its `PATH` and its docker.
pub(crate) fn with_our_docker(request: PullImage) -> Result<PullImage, CliError> {
    if request.input.is_none()
        && let Some(streamed) = StreamedSource::of(&request.source)
    {
        return Err(ArchiveInputError::not_here(streamed).into());
    }
    Ok(PullImage {
        source: absolute_source(&request.source)?,
        search_path: std::env::var("PATH").ok().filter(|path| !path.is_empty()),
        docker_config: match std::env::var_os("DOCKER_CONFIG").filter(|directory| !directory.is_empty()) {
            Some(directory) => Some(absolute(Path::new(&directory))?),
            None => None,
        },
        ..request
    })
}

async fn register(paths: &Paths, args: RegisterArgs, board: &Board) -> Result<(), CliError> {
    let RegisterArgs { name, rootfs, work_seed, kernel_ref, kernel, initrd, modules, force, json } = args;
    let optional = |path: Option<PathBuf>| path.map(|path| absolute(&path)).transpose();
    let request = RegisterImage {
        name,
        rootfs: absolute(&rootfs)?,
        work_seed: optional(work_seed)?,
        kernel_ref,
        kernel: optional(kernel)?,
        initrd: optional(initrd)?,
        modules: optional(modules)?,
        force,
    };
    pull(paths, route::REGISTER_IMAGE, route::SHOW_IMAGE, &request, json.json, board).await
}

fn absolute_source(source: &str) -> Result<String, CliError> {
    match split(source) {
        None | Some((_, "" | "-")) => Ok(source.to_owned()),
        Some((_, path)) if path.starts_with("-:") => Ok(source.to_owned()),
        Some((prefix, path)) => {
            let path = Path::new(path);
            // A descriptor of ours is another file to the daemon.
            let of_ours = path.starts_with("/dev/fd") || path.starts_with("/proc/self");
            let real = of_ours.then(|| path.canonicalize().ok()).flatten();
            Ok(format!("{prefix}{}", absolute(real.as_deref().unwrap_or(path))?))
        }
    }
}

fn pruned_line(pruned: PrunedCache, is_dry_run: bool) -> String {
    let PrunedCache { blobs, bytes: freed } = pruned;
    let verb = if is_dry_run { "would delete" } else { "deleted" };
    format!("{verb} {}, {}\n", banger_model::count("layer", blobs), bytes(freed))
}

fn table(images: &[ImageView], now: Timestamp) -> String {
    let row = |image: &ImageView| {
        vec![
            image.name.to_string(),
            image.reference.as_deref().map(familiar).unwrap_or_default().to_owned(),
            place(image).to_owned(),
            image.kernel.to_string(),
            image.arch.clone(),
            image.size_bytes.map(bytes).unwrap_or_default(),
            image.created_at.as_deref().map(|moment| ago(moment, now)).unwrap_or_default(),
            image.description.clone(),
        ]
    };
    let head = ["NAME", "REFERENCE", "WHERE", "KERNEL", "ARCH", "SIZE", "CREATED", "DESCRIPTION"];
    render::table(&head, &images.iter().map(row).collect::<Vec<_>>())
}

/// Returns a reference as docker writes it, and as one types it.
fn familiar(reference: &str) -> &str {
    let of_hub = reference.strip_prefix("docker.io/").unwrap_or(reference);
    of_hub.strip_prefix("library/").filter(|_| of_hub != reference).unwrap_or(of_hub)
}

/// Tells where an image is.
fn place(image: &ImageView) -> &'static str {
    match (image.is_pulled, image.is_registered) {
        (true, true) => "registered",
        (true, false) => "local",
        (false, _) => "catalog",
    }
}

fn sheet(details: &ImageDetails, now: Timestamp) -> String {
    let image = &details.image;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let words = |words: Vec<String>| text(words.join(", "));
    let created = image.created_at.as_deref().map(|moment| format!("{} ({moment})", ago(moment, now)));
    let process = details.process.as_ref();
    let lines = [
        ("name", text(image.name.to_string())),
        ("where", text(place(image).to_owned())),
        ("about", text(image.description.clone())),
        ("distro", text(details.distro.clone())),
        ("arch", text(image.arch.clone())),
        ("kernel", text(image.kernel.to_string())),
        ("source", details.source.clone().and_then(text)),
        ("created", created),
        ("size", image.size_bytes.map(bytes)),
        ("directory", details.directory.clone()),
        ("command", process.and_then(|process| text(process.command.join(" ")))),
        ("user", process.and_then(|process| text(process.user.clone()))),
        ("workdir", process.and_then(|process| text(process.working_directory.clone()))),
        ("ready ports", words(details.ready_ports.iter().map(ToString::to_string).collect())),
        ("packages", words(details.packages.clone())),
        ("ssh key", details.seeded_key.clone()),
        ("used by", words(details.vms.iter().map(ToString::to_string).collect())),
    ];
    let facts = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let variables = process.map(|process| process.environment.as_slice()).unwrap_or_default();
    let variables = variables.iter().map(|variable| ("env", variable.clone()));
    let files = details.files.iter().map(|(name, file)| {
        let size = bytes(file.size_bytes);
        ("file", format!("{name:<14}{size:>10}  sha256:{}", file.sha256))
    });
    let host_files = details.host_files.iter().map(|path| ("host file", path.clone()));
    render::sheet(12, facts.chain(variables).chain(files).chain(host_files))
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
        for source in ["alpine:3.20", "ghcr.io/a/b", "oci:", "docker-archive:-", "oci-archive:-:v1"] {
            assert_eq!(absolute_source(source).unwrap(), source);
        }
    }

    #[test]
    fn what_was_freed_is_told_in_one_line() {
        assert_eq!(
            pruned_line(PrunedCache { blobs: 1, bytes: 3 << 20 }, false),
            "deleted 1 layer, 3.0 MiB\n"
        );
        let line = pruned_line(PrunedCache { blobs: 0, bytes: 0 }, true);
        assert_eq!(line, format!("would delete 0 layers, {}\n", bytes(0)));
    }

    #[test]
    fn images_are_a_table() {
        let images: Vec<ImageView> = serde_json::from_value(serde_json::json!([
            { "name": "debian-bookworm", "is_pulled": true, "kernel": "debian-12", "arch": "amd64",
              "size_bytes": 700 << 20, "created_at": "2026-01-01T00:00:00Z", "description": "Debian 12" },
            { "name": "app-v1", "is_pulled": true, "reference": "ghcr.io/ada/app:v1", "kernel": "debian-12", "arch": "amd64" },
            { "name": "alpine-3.20", "is_pulled": true, "reference": "docker.io/library/alpine:3.20", "kernel": "debian-12",
              "arch": "amd64" },
            { "name": "alpine", "is_pulled": false, "kernel": "debian-12", "arch": "amd64" }
        ]))
        .unwrap();
        insta::assert_snapshot!(table(&images, "2026-01-01T00:03:00Z".parse().unwrap()), @r"
        NAME             REFERENCE           WHERE    KERNEL     ARCH   SIZE       CREATED        DESCRIPTION
        debian-bookworm  -                   local    debian-12  amd64  700.0 MiB  3 minutes ago  Debian 12
        app-v1           ghcr.io/ada/app:v1  local    debian-12  amd64  -          -              -
        alpine-3.20      alpine:3.20         local    debian-12  amd64  -          -              -
        alpine           -                   catalog  debian-12  amd64  -          -              -
        ");
    }

    #[test]
    fn an_image_is_shown_with_what_it_runs_and_who_uses_it() {
        let mut image: ImageDetails = serde_json::from_value(serde_json::json!({
            "name": "app", "is_pulled": true, "kernel": "debian-12", "arch": "amd64", "size_bytes": 90 << 20,
            "created_at": "1970-01-01T00:00:00Z", "distro": "alpine", "source": "ghcr.io/ada/app:v1",
            "directory": "/state/images/app", "id": "0123456789abcdef", "ready_ports": [80, 443],
            "seeded_key": "SHA256:Nh0Me49Zh9fDw", "vms": ["dev"],
            "process": { "command": ["/app", "serve"], "environment": ["A=b", "PATH=/bin"], "user": "app",
                         "working_directory": "/srv" },
            "files": { "rootfs.ext4": { "size_bytes": 90 << 20, "sha256": "ab12" } }
        }))
        .unwrap();
        insta::assert_snapshot!(sheet(&image, Timestamp::UNIX_EPOCH), @r"
        name        app
        where       local
        distro      alpine
        arch        amd64
        kernel      debian-12
        source      ghcr.io/ada/app:v1
        created     0 seconds ago (1970-01-01T00:00:00Z)
        size        90.0 MiB
        directory   /state/images/app
        command     /app serve
        user        app
        workdir     /srv
        ready ports 80, 443
        ssh key     SHA256:Nh0Me49Zh9fDw
        used by     dev
        env         A=b
        env         PATH=/bin
        file        rootfs.ext4     90.0 MiB  sha256:ab12
        ");
        image.image.is_registered = true;
        image.files.clear();
        image.host_files = vec!["/srv/root.ext4".to_owned()];
        let sheet = sheet(&image, Timestamp::UNIX_EPOCH);
        assert!(sheet.contains("\nwhere       registered\n"), "{sheet}");
        assert!(sheet.ends_with("\nhost file   /srv/root.ext4\n"), "{sheet}");
    }
}
