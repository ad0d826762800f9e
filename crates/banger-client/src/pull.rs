//! Pulling and importing of images and kernels: all are an operation whose target is the name of what comes.

use std::cell::OnceCell;

use crate::client::{Client, ClientError};
use banger_api::route::{Named, Route};
use banger_api::{ErrorCode, OperationKind, OperationView};
use serde::Serialize;
use serde_json::Value;

use crate::operation::{self, Attempt};

/// One pull, begun as often as daemons go away in its middle.
#[derive(Debug)]
pub struct Pull<'a, R> {
    client: &'a Client,
    route: &'a str,
    /// The route that shows what came.
    show: Route<Named>,
    request: &'a R,
    /// What the first daemon said.
    begun: OnceCell<(OperationKind, String)>,
}

impl<'a, R: Serialize> Pull<'a, R> {
    /// Makes a pull that is not begun yet. `show` is the route that shows what comes.
    pub fn new(client: &'a Client, route: &'a str, show: Route<Named>, request: &'a R) -> Self {
        Self { client, route, show, request, begun: OnceCell::new() }
    }

    /// Begins it, or says what a daemon that went away has got.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn begin(&self, attempt: Attempt) -> Result<OperationView, ClientError> {
        let begun = self.client.post::<OperationView>(self.route, self.request).await;
        match (begun, attempt, self.begun.get()) {
            (Err(ClientError::Refused(body)), Attempt::Again, Some((kind, target)))
                if body.code == ErrorCode::AlreadyExists =>
            {
                Ok(operation::finished(*kind, target, Some(self.show(target).await?)))
            }
            (Ok(begun), _, _) => {
                let _first = self.begun.set((begun.kind, begun.target.clone()));
                Ok(begun)
            }
            (refused, _, _) => refused,
        }
    }

    /// Returns what came, as the daemon shows it: the result of the operation, or where it has none, what is here now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn came(&self, operation: &OperationView) -> Result<Value, ClientError> {
        match &operation.result {
            Some(result) if !result.is_null() => Ok(result.clone()),
            Some(_) | None => self.show(&operation.target).await,
        }
    }

    async fn show(&self, target: &str) -> Result<Value, ClientError> {
        self.client.get(self.show.of(target)).await
    }
}
