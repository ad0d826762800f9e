//! From a root file system to a whole image: its facts, its manifest and the seed of its work disk.

use std::sync::Arc;

use banger_ext4::Ext4Reader;
use banger_sys::blocking::run_blocking;
use banger_sys::files::StagedDirectory;

use super::digest::BlobDigest;
use super::documents::ConfigDocument;
use super::images::OciImages;
use super::platform::Platform;
use super::pull_error::OciPullError;
use super::system::{init_of, process_of};
use super::unpack::RootFacts;
use super::wanted::OciPull;
use crate::image::{ImageFacts, ROOTFS, distro_of, finish_image, record_rootfs};
use crate::progress::Progress;

impl OciImages {
    pub(super) async fn finish(
        &self,
        wanted: &OciPull,
        staged: StagedDirectory,
        config: ConfigDocument,
        digest: &BlobDigest,
        root: RootFacts,
        progress: &Progress,
    ) -> Result<StagedDirectory, OciPullError> {
        root.left_out.sentence().into_iter().for_each(|sentence| progress.note(sentence));
        progress.stage("create work-seed", "");
        let rootfs = Ext4Reader::open(&staged.path().join(ROOTFS)).ok();
        let process = process_of(config.process);
        let init = match &rootfs {
            Some(rootfs) => init_of(&process, rootfs, root.init),
            None => root.init,
        };
        let facts = ImageFacts {
            name: wanted.name.clone(),
            distro: rootfs.as_ref().map(distro_of).unwrap_or_default(),
            arch: Platform::of_guests().architecture().to_owned(),
            kernel: wanted.kernel.clone(),
            ready_ports: Vec::new(),
            init,
            process: Some(process),
            packages: Vec::new(),
            origin: format!("{} ({digest})", wanted.source),
        };
        let key = Arc::clone(&self.key);
        run_blocking(move |_| {
            let rootfs = record_rootfs(&staged)?;
            finish_image(staged, facts, rootfs, &key)
        })
        .await
        .map_err(OciPullError::Finish)
    }
}
