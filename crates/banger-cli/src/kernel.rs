//! `kernel pull|list`.

use banger_api::{KernelView, PullRequest};
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::args_kernel::KernelCommand;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::progress::Board;
use crate::pull::pull;
use crate::render::{self, ago, bytes};

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: KernelCommand, board: &Board) -> Result<(), CliError> {
    match command {
        KernelCommand::Pull { name, pull: args } => {
            let request = PullRequest { name: name.into(), force: args.force };
            pull(paths, "/v1/kernels/pull", &request, args.json, board).await
        }
        KernelCommand::List(args) => {
            let kernels: Vec<KernelView> = ensure(paths).await?.get("/v1/kernels").await?;
            if args.json {
                render::print_json(&kernels)
            } else {
                render::print(&table(&kernels, Timestamp::now()))
            }
        }
    }
}

fn table(kernels: &[KernelView], now: Timestamp) -> String {
    let row = |kernel: &KernelView| {
        vec![
            kernel.name.to_string(),
            if kernel.is_pulled { "here" } else { "catalog" }.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_a_table() {
        let kernels: Vec<KernelView> = serde_json::from_value(serde_json::json!([
            { "name": "debian-12", "is_pulled": false, "distro": "debian", "arch": "amd64" }
        ]))
        .unwrap();
        insta::assert_snapshot!(table(&kernels, Timestamp::UNIX_EPOCH), @r"
        NAME       WHERE    DISTRO  ARCH   VERSION  SIZE  CREATED  DESCRIPTION
        debian-12  catalog  debian  amd64  -        -     -        -
        ");
    }
}
