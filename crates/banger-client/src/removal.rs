//! Deleting images and kernels.

use crate::client::{Client, ClientError};
use banger_api::{ErrorCode, OperationKind, OperationView};

use crate::operation::{self, Attempt};

/// What can be deleted by its name, beside VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removable {
    /// An image.
    Image,
    /// A kernel.
    Kernel,
}

impl Removable {
    fn route(self) -> &'static str {
        match self {
            Self::Image => "/v1/images",
            Self::Kernel => "/v1/kernels",
        }
    }

    fn kind(self) -> OperationKind {
        match self {
            Self::Image => OperationKind::ImageDelete,
            Self::Kernel => OperationKind::KernelDelete,
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
        match client.post(&format!("{}/{name}/delete", self.route()), &()).await {
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
