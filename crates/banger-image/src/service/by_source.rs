//! Images that are asked for by where they come from: what is here of that source is used, what is not is pulled, once for
//! all who ask at the same time.

use banger_model::{ArtifactKind, ImageName, PullPolicy};
use banger_sys::keyed_lock::KeyedGuard;

use super::oci::{OCI_BYTES_NEEDED, of_oci};
use super::{Hold, ImageService};
use crate::image::Image;
use crate::oci::{OciPull, place_of};
use crate::progress::Progress;
use crate::pull::{Build, PullError, Replace, Successor};

impl ImageService {
    /// As [`ImageService::hold_image`], by the rule for pulls.
    ///
    /// # Errors
    /// As [`ImageService::hold_image`]; [`PullError::NotHere`] where nothing is to be pulled.
    pub async fn hold_image_when(
        &self,
        name: &ImageName,
        when: PullPolicy,
        progress: &Progress,
    ) -> Result<(Image, Hold), PullError> {
        match when {
            PullPolicy::Missing => {}
            PullPolicy::Always => drop(self.pull_image(name, Replace::Always, progress).await?),
            PullPolicy::Never if self.images.usable(name)?.is_none() => {
                return Err(PullError::NotHere { kind: ArtifactKind::Image, name: name.to_string() });
            }
            PullPolicy::Never => {}
        }
        self.hold_image(name, progress).await
    }

    /// Returns the image of a source and keeps it in its place: pulled by the rule, unless it is here, whatever it is called.
    ///
    /// # Errors
    /// [`PullError`]; [`PullError::OtherSource`] when its name is that of another
    /// image.
    pub async fn hold_oci(
        &self,
        wanted: &OciPull,
        when: PullPolicy,
        progress: &Progress,
    ) -> Result<(Image, Hold), PullError> {
        let mut when = when;
        let mut named = None;
        loop {
            let wanted = named.as_ref().unwrap_or(wanted);
            let name = match (self.of_source(wanted), when) {
                (Some(name), PullPolicy::Missing | PullPolicy::Never) => name,
                (None, PullPolicy::Never) => {
                    let name = wanted.source.to_string();
                    return Err(PullError::NotHere { kind: ArtifactKind::Image, name });
                }
                (None, PullPolicy::Missing | PullPolicy::Always) if wanted.is_named_by_archive => {
                    named = Some(self.named_by_archive(wanted, progress).await?);
                    continue;
                }
                (found, PullPolicy::Missing | PullPolicy::Always) => {
                    let name = found.unwrap_or_else(|| wanted.name.clone());
                    self.ensure_oci(&OciPull { name: name.clone(), ..wanted.clone() }, when, progress)
                        .await?;
                    name
                }
            };
            // What was just pulled is as new as it gets.
            if when == PullPolicy::Always {
                when = PullPolicy::Missing;
            }
            let hold = Hold(self.images.hold(&name).await);
            if let Ok(Some(image)) = self.images.usable(&name)
                && is_of(&image, wanted)
            {
                return Ok((self.with_this_key(image, progress).await, hold));
            }
            // It was deleted or replaced before it was held.
        }
    }

    /// Returns the pull with the name that the archive gives its image.
    async fn named_by_archive(&self, wanted: &OciPull, progress: &Progress) -> Result<OciPull, PullError> {
        let (input, name) = self.name_archive(&wanted.source, None, wanted.bytes_max, progress).await?;
        Ok(OciPull { input, name, is_named_by_archive: false, ..wanted.clone() })
    }

    /// Makes the image of a source be here, once, however many ask.
    async fn ensure_oci(
        &self,
        wanted: &OciPull,
        when: PullPolicy,
        progress: &Progress,
    ) -> Result<(), PullError> {
        self.check_oci_name(wanted)?;
        let held = self.images.lock(&wanted.name).await;
        if let Some(here) = self.images.usable(&wanted.name)? {
            if !is_of(&here, wanted) {
                let (name, origin) = (wanted.name.to_string(), here.manifest.origin);
                return Err(PullError::OtherSource { name, origin, source_text: wanted.source.to_string() });
            }
            if when != PullPolicy::Always {
                return Ok(());
            }
            let wanted = self.opened(wanted, progress).await?;
            if self.is_current(&here, &wanted, progress).await? {
                return Ok(());
            }
            return self.make_oci(held, &wanted, progress).await.map(drop);
        }
        self.make_oci(held, wanted, progress).await.map(drop)
    }

    /// Pulls the image unless the one of its name is what its source has now. One of another source keeps its name.
    pub(super) async fn update_oci(&self, wanted: &OciPull, progress: &Progress) -> Result<Image, PullError> {
        let held = self.images.lock(&wanted.name).await;
        let Some(here) = self.images.usable(&wanted.name)? else {
            return self.make_oci(held, wanted, progress).await;
        };
        let (name, is_same_kernel) = (&wanted.name, here.manifest.kernel == wanted.kernel);
        let wanted = self.opened(wanted, progress).await?;
        if is_same_kernel && self.is_current(&here, &wanted, progress).await? {
            progress.note(format!("the image `{name}` is up to date"));
            return Ok(here);
        }
        // What comes through a pipe has no place: any other archive could come there.
        if !is_same_kernel || !is_of(&here, &wanted) || wanted.source.is_standard_input() {
            return Err(PullError::NameTaken { kind: ArtifactKind::Image, name: name.to_string() });
        }
        self.make_oci(held, &wanted, progress).await
    }

    async fn make_oci(
        &self,
        held: KeyedGuard,
        wanted: &OciPull,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        let build: Build<'_> = Box::new(move |staged| Box::pin(self.build_oci(wanted, staged, progress)));
        self.images.make(held, OCI_BYTES_NEEDED, &wanted.name, Successor::Other, build).await
    }

    /// Returns the pull with its layout or archive open, so that a compressed one is unpacked only once.
    async fn opened(&self, wanted: &OciPull, progress: &Progress) -> Result<OciPull, PullError> {
        let opened = self.oci.open(wanted, self.images.store.directory(), progress).await;
        opened.map_err(|error| of_oci(wanted, error))
    }

    /// Tells whether the source still has the image that is here.
    async fn is_current(
        &self,
        here: &Image,
        wanted: &OciPull,
        progress: &Progress,
    ) -> Result<bool, PullError> {
        let digest = self.oci.digest(wanted, self.images.store.directory(), progress).await;
        let digest = digest.map_err(|error| of_oci(wanted, error))?;
        Ok(here.manifest.origin.contains(&digest.to_string()))
    }

    /// Finds an image that came from the source: the one that it is called by itself before others.
    fn of_source(&self, wanted: &OciPull) -> Option<ImageName> {
        let found = self.images.store.list().ok()?.found;
        let of_it = found.into_iter().filter(|image| is_of(image, wanted));
        of_it.map(|image| image.manifest.name).max_by_key(|name| *name == wanted.name)
    }
}

fn is_of(image: &Image, wanted: &OciPull) -> bool {
    let origin = image.manifest.origin.as_str();
    // What came in another way has no digest, and is no image of any source.
    place_of(origin) != origin && wanted.source.is_place(place_of(origin))
}
