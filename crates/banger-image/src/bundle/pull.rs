//! A pull of a bundle into a staging directory.

use std::sync::Arc;

use banger_fetch::{Patience, chunks};
use banger_model::{Hint, ImageName, KernelName, Sha256};
use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::files::StagedDirectory;

use super::error::BundleError;
use super::expected::{Expected, MinisignKey};
use super::fetch::{self, BundleFetchError, Opened};
use super::location::BundleLocation;
use super::manifest::BundleManifest;
use super::unpack::unpack_bundle;
use crate::image::{AuthorizedKey, FinishError, finish_image};
use crate::limits::Allowance;
use crate::progress::{CountingReader, Progress};
use crate::pull_rules::PullRules;

const STAGE: &str = "unpack bundle";
/// A signature is four lines.
const SIGNATURE_BYTES_MAX: u64 = 16 << 10;

/// What to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundlePull {
    /// From where.
    pub location: BundleLocation,
    /// What the local image is called.
    pub name: ImageName,
    /// The kernel that its VMs boot where nobody names another; none means the bundle's.
    pub kernel: Option<KernelName>,
    /// What the bundle must be.
    pub sha256: Option<Sha256>,
    /// With whose key it must be signed.
    pub key: Option<MinisignKey>,
    /// Bytes that it may unpack to, where other than the rules say.
    pub bytes_max: Option<u64>,
}

/// Why an image could not be made of a bundle.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BundlePullError {
    #[error("a bundle from a URL must be verified")]
    Unchecked,
    #[error("cannot fetch the bundle `{location}`")]
    Fetch { location: BundleLocation, source: BundleFetchError },
    #[error("cannot fetch the signature of the bundle `{location}`")]
    FetchSignature { location: BundleLocation, source: BundleFetchError },
    #[error("cannot use the bundle `{location}`")]
    Refused { location: BundleLocation, source: BundleError },
    #[error("the bundle `{location}` needs the kernel `{kernel}`, which is neither local nor in the catalog")]
    UnknownKernel { location: BundleLocation, kernel: KernelName },
    #[error(transparent)]
    Finish(FinishError),
}

impl BundlePullError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Unchecked => Some(Hint::ProveDownload),
            Self::UnknownKernel { .. } => Some(Hint::ChooseKernel),
            Self::Fetch { source, .. } | Self::FetchSignature { source, .. } => source.hint(),
            Self::Refused { source: BundleError::Limit(over), .. } => over.hint(),
            Self::Refused { .. } | Self::Finish(_) => None,
        }
    }
}

impl BundlePull {
    /// Refuses at once what must not be pulled.
    ///
    /// # Errors
    /// [`BundlePullError::Unchecked`].
    pub fn check(&self) -> Result<(), BundlePullError> {
        match (&self.location, &self.sha256, &self.key) {
            (BundleLocation::Url(_), None, None) => Err(BundlePullError::Unchecked),
            (BundleLocation::Url(_) | BundleLocation::File(_), _, _) => Ok(()),
        }
    }
}

/// Images from bundles, which let this key in.
#[derive(Debug)]
pub(crate) struct BundleImages {
    pub(crate) key: Arc<AuthorizedKey>,
    pub(crate) patience: Patience,
    pub(crate) rules: PullRules,
}

impl BundleImages {
    /// Fills a staging directory with an image, down to the manifest. Dropping the future gives up.
    pub(crate) async fn build(
        &self,
        wanted: &BundlePull,
        is_known_kernel: impl FnOnce(&KernelName) -> bool,
        staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, BundlePullError> {
        wanted.check()?;
        let location = || wanted.location.clone();
        let expected = self.expected(wanted).await?;
        progress.stage(STAGE, wanted.location.to_string());
        let opened = fetch::open(&wanted.location, self.patience, &self.rules.trusted).await;
        let (source, size) =
            opened.map_err(|source| BundlePullError::Fetch { location: location(), source })?;
        let limits = self.rules.limits.with_bytes_max(wanted.bytes_max);
        // Without a size nothing is known of how well it is packed.
        let packed = size.unwrap_or(u64::MAX);
        let allowance = Allowance::new(limits, self.rules.floor, staged.path().to_owned(), packed);
        let checks = Checks { expected, allowance };
        let (staged, unpacked) = unpack(source, size, checks, staged, progress).await;
        let manifest =
            unpacked.map_err(|source| BundlePullError::Refused { location: location(), source })?;
        if wanted.kernel.is_none() && !is_known_kernel(&manifest.kernel) {
            return Err(BundlePullError::UnknownKernel { location: location(), kernel: manifest.kernel });
        }
        progress.stage("create work-seed", "");
        let (rootfs, key) = (manifest.rootfs.clone(), Arc::clone(&self.key));
        let facts = manifest.into_facts(wanted.name.clone(), wanted.kernel.clone());
        let finished = run_blocking(move |_| finish_image(staged, facts, rootfs, &key)).await;
        finished.map_err(BundlePullError::Finish)
    }

    async fn expected(&self, wanted: &BundlePull) -> Result<Expected, BundlePullError> {
        let signed = match &wanted.key {
            Some(key) => {
                let location = wanted.location.signature();
                let (patience, trusted) = (self.patience, &self.rules.trusted);
                let text = fetch::read_signature(&location, SIGNATURE_BYTES_MAX, patience, trusted).await;
                let text = text.map_err(|source| BundlePullError::FetchSignature { location, source })?;
                Some((key.clone(), text))
            }
            None => None,
        };
        Ok(Expected { sha256: wanted.sha256.clone(), signed })
    }
}

/// What a bundle is held against while it is unpacked.
struct Checks {
    expected: Expected,
    allowance: Allowance,
}

/// Unpacks while it comes. The staging directory travels with the work, and comes back with its end.
async fn unpack(
    source: Opened,
    size: Option<u64>,
    checks: Checks,
    staged: StagedDirectory,
    progress: &Progress,
) -> (StagedDirectory, Result<BundleManifest, BundleError>) {
    let progress = progress.clone();
    let work = move |packed: Box<dyn std::io::Read + Send>, cancelled: &Cancelled| {
        let packed = CountingReader::new(cancelled.reader(packed), STAGE, size, &progress);
        let unpacked = unpack_bundle(packed, &checks.expected, &checks.allowance, staged.path());
        (staged, unpacked)
    };
    match source {
        Opened::File(file) => run_blocking(move |cancelled| work(Box::new(file), cancelled)).await,
        Opened::Remote(download) => {
            let (sender, reader) = chunks();
            let unpacking = run_blocking(move |cancelled| work(Box::new(reader), cancelled));
            tokio::join!(download.send_to(sender), unpacking).1
        }
    }
}
