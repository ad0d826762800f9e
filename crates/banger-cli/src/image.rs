//! `image pull|list`.

use banger_api::{ImageView, PullRequest};
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::args_image::ImageCommand;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::progress::Board;
use crate::pull::pull;
use crate::render::{self, ago, bytes};

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: ImageCommand, board: &Board) -> Result<(), CliError> {
    match command {
        ImageCommand::Pull { name, pull: args } => {
            let request = PullRequest { name: name.into(), force: args.force };
            pull(paths, "/v1/images/pull", &request, args.json, board).await
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
