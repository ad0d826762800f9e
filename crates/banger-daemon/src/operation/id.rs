//! The id of an operation, minted when its request arrives: what is refused before the work begins has the same id in
//! the log and in the error as the work would have had.

use banger_sys::id::random_hex;

tokio::task_local! {
    static CURRENT: String;
}

/// Returns a new id.
pub(super) fn mint() -> String {
    format!("op-{}", random_hex::<6>())
}

/// Runs a request under a new id.
pub(crate) async fn within_new<T>(request: impl Future<Output = T>) -> T {
    CURRENT.scope(mint(), request).await
}

/// Runs an operation's work under the operation's id.
pub(super) async fn within<T>(id: String, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// Returns the id of the request that is being answered, when it asks for an operation, or of the operation
/// whose work this is.
pub(crate) fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}
