//! What is known of an image.

use banger_image::{Image, ImageEntry};
use banger_model::{ImageName, VmName};

/// An image, as lists have it.
#[derive(Clone, Debug)]
pub enum ImageFacts {
    /// One that is here, with what the catalog says about it; empty if it is not in the catalog.
    Local {
        /// The image.
        image: Image,
        /// One line about it.
        description: String,
    },
    /// One that can be pulled.
    InCatalog(ImageEntry),
}

impl ImageFacts {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ImageName {
        match self {
            Self::Local { image, .. } => &image.manifest.name,
            Self::InCatalog(entry) => &entry.name,
        }
    }
}

/// An image with everything that is known of it.
#[derive(Clone, Debug)]
pub struct ImageDetails {
    /// What lists say.
    pub image: ImageFacts,
    /// VMs that were made from it.
    pub vms: Vec<VmName>,
}
