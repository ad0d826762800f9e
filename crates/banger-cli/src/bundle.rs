//! `image pull --bundle` and `image bundle`.

use std::path::{Path, PathBuf};

use banger_api::{BundleView, OperationView, PackBundle, PullBundle, route};
use banger_client::{Ended, OnStop, result};
use banger_model::{ByteCount, ImageName};
use banger_sys::paths::Paths;

use crate::args::image::PullImageArgs;
use crate::ensure::ensure;
use crate::error::{CliError, Kind};
use crate::form::Form;
use crate::host_path::absolute;
use crate::operation;
use crate::progress::Board;
use crate::pull::pull;
use crate::render::bytes;
use crate::signals::Signals;

/// Pulls an image that somebody made a bundle of.
pub(crate) async fn pull_bundle(
    paths: &Paths,
    location: &str,
    args: PullImageArgs,
    board: &Board,
) -> Result<(), CliError> {
    let request = PullBundle {
        location: if location.contains("://") {
            location.to_owned()
        } else {
            absolute(Path::new(location))?.into()
        },
        name: args.name,
        kernel: args.kernel,
        sha256: args.sha256,
        minisign_key: args.minisign_key,
        force: args.pull.force,
        max_bytes: args.max_size.map(ByteCount::get),
    };
    pull(paths, route::PULL_IMAGE_BUNDLE, route::SHOW_IMAGE, &request, args.pull.json, board).await
}

/// Makes a bundle of an image and tells its digest.
pub(crate) async fn pack(
    paths: &Paths,
    name: &ImageName,
    output: Option<PathBuf>,
    as_json: bool,
    board: &Board,
) -> Result<(), CliError> {
    if output.as_deref() == Some(Path::new("-")) {
        let sentence = "a bundle is written to a file, and not to stdout";
        let hint = format!("banger image bundle {name} --output {name}.tar.zst");
        return Err(CliError::new(Kind::Usage, sentence).with_hint(hint));
    }
    let output = output.unwrap_or_else(|| format!("{name}.tar.zst").into());
    let request = PackBundle { output: absolute(&output)? };
    let client = ensure(paths).await?;
    let mut signals = Signals::listen()?;
    let mut progress = board.progress(None);
    let path = route::PACK_IMAGE_BUNDLE.of(name);
    let begin = async |_attempt| client.post::<OperationView>(&path, &request).await;
    let ended = operation::follow(&client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    let (Ended::Succeeded(operation) | Ended::TooLate { operation, .. }) = ended;
    let bundle: BundleView = result(operation, "bundle")?;
    progress.finish(Some(&bundle.path));
    Form::of(as_json, board).print(&bundle, &bundle.path, || line(&bundle))
}

fn line(bundle: &BundleView) -> String {
    format!("{}  {}\nsha256  {}\n", bundle.path, bytes(bundle.size_bytes), bundle.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_told_with_what_others_need_to_pull_it() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let bundle = BundleView {
            path: "/home/ada/dev.tar.zst".to_owned(),
            size_bytes: 3 << 20,
            sha256: digest.parse().unwrap(),
        };
        assert_eq!(line(&bundle), format!("/home/ada/dev.tar.zst  3.0 MiB\nsha256  {digest}\n"));
    }
}
