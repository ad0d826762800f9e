//! What a caller hears while something long goes on.

use std::sync::Arc;

/// One step of a long act, or how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is being done: `download kernel package`.
    pub name: &'static str,
    /// With what; may be empty.
    pub detail: String,
    /// How much is done, in bytes.
    pub done: Option<u64>,
    /// Of how much, in bytes, where that is known.
    pub total: Option<u64>,
    /// What it consists of, where that is done at the same time.
    pub parts: Vec<StagePart>,
}

/// A part of a step, done beside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePart {
    /// What it is, in a word.
    pub label: String,
    /// How much is done, in bytes.
    pub done: u64,
    /// Of how much, in bytes.
    pub total: u64,
}

/// Where stages go. Cheap to clone; called from any thread, so it must not block.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Stage) + Send + Sync>);

impl Progress {
    /// Tells every stage to this function.
    #[must_use]
    pub fn new(listener: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// A new step begins.
    pub(crate) fn stage(&self, name: &'static str, detail: impl Into<String>) {
        (self.0)(Stage { name, detail: detail.into(), done: None, total: None, parts: Vec::new() });
    }

    /// A step is this far.
    pub(crate) fn bytes(&self, name: &'static str, done: u64, total: Option<u64>) {
        (self.0)(Stage { name, detail: String::new(), done: Some(done), total, parts: Vec::new() });
    }

    /// The parts of a step are this far.
    pub(crate) fn parts(&self, name: &'static str, parts: Vec<StagePart>) {
        let done = parts.iter().map(|part| part.done).sum();
        let total = parts.iter().map(|part| part.total).sum();
        (self.0)(Stage { name, detail: String::new(), done: Some(done), total: Some(total), parts });
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Progress")
    }
}
