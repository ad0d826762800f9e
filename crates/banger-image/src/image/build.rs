//! Makes a local image from a distribution's packages: bootstrap into a tar, the tar into an ext4, `/root` into the
//! work-seed. Without root, without a mount.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_ext4::FormatError;
use banger_model::Hint;
use banger_sys::blocking::run_blocking;
use banger_sys::exec::ToolError;
use banger_sys::files::StagedDirectory;
use banger_sys::full_disk::ran_out_of_space;
use futures::future::BoxFuture;

use crate::apt::{SOURCES_BYTES_MAX, carried_settings, read_source_files, select_sources};
use crate::bounded::read_text;
use crate::host_tools::{MissingTool, require};
use crate::image::authorized_key::AuthorizedKey;
use crate::image::bootstrap::Bootstrap;
use crate::image::build_directory::{BuildDirectory, Privilege};
use crate::image::finish::{FinishError, ImageFacts, finish_image, record_rootfs};
use crate::image::manifest::ROOTFS;
use crate::image::recipe::Recipe;
use crate::image::rootfs::write_rootfs;
use crate::image::sub_ids::has_sub_ids;
use crate::progress::Progress;

/// Why no image could be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ImageBuildError {
    #[error("cannot build an image on this host")]
    Tool(#[source] MissingTool),
    #[error("this user has no subordinate IDs, which are needed to build an image without root")]
    NoSubordinateIds,
    #[error("cannot install the packages of the image")]
    Bootstrap(#[source] ToolError),
    #[error("cannot write the image's root")]
    WriteRootfs(#[source] FormatError),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Finish(FinishError),
}

impl ImageBuildError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Tool(missing) => Some(missing.hint()),
            Self::NoSubordinateIds => Some(Hint::on_host(
                "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
            )),
            Self::Bootstrap(_) | Self::WriteRootfs(_) | Self::Write { .. } | Self::Finish(_) => None,
        }
    }
}

/// Fills a staging directory with an image. A second one exists in the tests.
pub(crate) trait ImageSource: Send + Sync {
    /// Fills the directory, down to the manifest, and gives it back.
    fn build<'a>(
        &'a self,
        recipe: &'a Recipe,
        facts: ImageFacts,
        staged: StagedDirectory,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, ImageBuildError>>;
}

/// Images from Debian packages, which let this key in.
#[derive(Debug)]
pub(crate) struct DebianImages {
    pub(crate) key: Arc<AuthorizedKey>,
}

impl ImageSource for DebianImages {
    fn build<'a>(
        &'a self,
        recipe: &'a Recipe,
        facts: ImageFacts,
        staged: StagedDirectory,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, ImageBuildError>> {
        Box::pin(build_debian_image(recipe, facts, staged, &self.key, progress))
    }
}

async fn build_debian_image(
    recipe: &Recipe,
    facts: ImageFacts,
    staged: StagedDirectory,
    key: &Arc<AuthorizedKey>,
    progress: &Progress,
) -> Result<StagedDirectory, ImageBuildError> {
    let privilege = privilege()?;
    let sources = select_sources(&read_source_files(), &recipe.suite, |path| {
        read_text(Path::new(path), SOURCES_BYTES_MAX).ok()
    });
    let bootstrap =
        Bootstrap { recipe, arch: &facts.arch, privilege, settings: carried_settings().await, sources };
    let staged = bootstrap_rootfs(&bootstrap, staged, progress).await?;

    progress.stage("create work-seed", "");
    let key = Arc::clone(key);
    let finished = run_blocking(move |_| {
        let rootfs = record_rootfs(&staged)?;
        finish_image(staged, facts, rootfs, &key)
    })
    .await;
    finished.map_err(ImageBuildError::Finish)
}

fn privilege() -> Result<Privilege, ImageBuildError> {
    require(&["mmdebstrap"]).map_err(ImageBuildError::Tool)?;
    if rustix::process::geteuid().is_root() {
        return Ok(Privilege::Root);
    }
    require(&["newuidmap"]).map_err(ImageBuildError::Tool)?;
    if has_sub_ids() { Ok(Privilege::UserNamespace) } else { Err(ImageBuildError::NoSubordinateIds) }
}

/// Streams the packages' tar into the rootfs. The staging directory travels with the blocking work, so that it is
/// removed when that has ended, also when nobody waits any more.
async fn bootstrap_rootfs(
    bootstrap: &Bootstrap<'_>,
    staged: StagedDirectory,
    progress: &Progress,
) -> Result<StagedDirectory, ImageBuildError> {
    let build = BuildDirectory::create(staged.path(), bootstrap.privilege)
        .map_err(|source| ImageBuildError::Write { path: staged.path().to_owned(), source })?;
    let (recipe, told) = (bootstrap.recipe.clone(), progress.clone());
    let mut written = None;
    let installed = bootstrap
        .run(&build, progress, async |stdout| {
            let tar = File::from(stdout.into_owned_fd()?);
            let write = run_blocking(move |cancelled| {
                let result = write_rootfs(tar, &staged.path().join(ROOTFS), &recipe, &told, cancelled);
                (staged, result)
            });
            written = Some(write.await);
            Ok(())
        })
        .await;
    drop(build);
    match (installed, written) {
        // A full disk ends the writer first, and the tool because of it.
        (_, Some((_, Err(error)))) if ran_out_of_space(&error) => Err(ImageBuildError::WriteRootfs(error)),
        (Err(error), _) => Err(ImageBuildError::Bootstrap(error)),
        (Ok(()), Some((_, Err(error)))) => Err(ImageBuildError::WriteRootfs(error)),
        (Ok(()), Some((staged, Ok(())))) => Ok(staged),
        (Ok(()), None) => {
            let source = io::Error::other("no output");
            Err(ImageBuildError::Bootstrap(ToolError::Run { tool: "mmdebstrap".to_owned(), source }))
        }
    }
}
