//! `vm logs`: the console of a guest.

use banger_sys::paths::Paths;
use http_body_util::BodyExt as _;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::exec::find;
use crate::stdio::{Output, Piece};

/// Prints the log; with `is_followed` goes on with what comes.
pub(crate) async fn logs(paths: &Paths, typed: &str, is_followed: bool) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vm = find(&client, typed).await?;
    let mut body = client.stream(&format!("/v1/vms/{}/logs?follow={is_followed}", vm.id)).await?;
    let output = Output::open().map_err(CliError::Output)?;
    let sender = output.sender();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| CliError::Log { source: Box::new(source) })?;
        let Ok(bytes) = frame.into_data() else { continue };
        if sender.write(Piece::Stdout(bytes)).await.is_err() {
            break;
        }
    }
    drop(sender);
    output.finish().await.map_err(CliError::output)
}
