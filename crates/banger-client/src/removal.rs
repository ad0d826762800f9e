//! Deleting images and kernels.

use crate::client::{Client, ClientError};
use banger_api::route::RequestPath;
use banger_api::{DeleteKernelQuery, ErrorCode, OperationKind, OperationView, route};

use crate::operation::{self, Attempt};

/// What can be deleted by its name, beside VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removable {
    /// An image.
    Image,
    /// A kernel.
    Kernel {
        /// Also if images need it.
        force: bool,
    },
}

impl Removable {
    fn path(self, name: &str) -> RequestPath {
        match self {
            Self::Image => route::DELETE_IMAGE.of(name),
            Self::Kernel { force } => route::DELETE_KERNEL.of(name).asking(&DeleteKernelQuery { force }),
        }
    }

    fn kind(self) -> OperationKind {
        match self {
            Self::Image => OperationKind::ImageDelete,
            Self::Kernel { .. } => OperationKind::KernelDelete,
        }
    }

    /// Begins to delete the one of this name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn begin(
        self,
        client: &Client,
        name: &str,
        attempt: Attempt,
    ) -> Result<OperationView, ClientError> {
        match client.post(self.path(name), &()).await {
            // The daemon that went away has deleted it.
            Err(ClientError::Refused(body))
                if attempt == Attempt::Again && body.code == ErrorCode::NotFound =>
            {
                Ok(operation::finished(self.kind(), name, None))
            }
            begun => begun,
        }
    }
}
