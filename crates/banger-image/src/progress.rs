//! What a caller hears while something long goes on.

use std::io::{self, Read};
use std::sync::Arc;

/// How often bytes are told.
const STEP_BYTES: u64 = 16 << 20;

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
pub struct Progress {
    stages: Arc<dyn Fn(Stage) + Send + Sync>,
    notes: Arc<dyn Fn(String) + Send + Sync>,
}

impl Progress {
    /// Tells every stage to this function, and notes to nobody.
    #[must_use]
    pub fn new(listener: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        Self { stages: Arc::new(listener), notes: Arc::new(drop) }
    }

    /// Tells notes to this function: sentences about what the caller should know though nothing fails.
    #[must_use]
    pub fn with_notes(self, listener: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self { notes: Arc::new(listener), ..self }
    }

    /// Something that its caller should know, in one sentence.
    pub(crate) fn note(&self, sentence: String) {
        (self.notes)(sentence);
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// A new step begins.
    pub(crate) fn stage(&self, name: &'static str, detail: impl Into<String>) {
        (self.stages)(Stage { name, detail: detail.into(), done: None, total: None, parts: Vec::new() });
    }

    /// A step is this far.
    pub(crate) fn bytes(&self, name: &'static str, done: u64, total: Option<u64>) {
        (self.stages)(Stage { name, detail: String::new(), done: Some(done), total, parts: Vec::new() });
    }

    /// The parts of a step are this far.
    pub(crate) fn parts(&self, name: &'static str, parts: Vec<StagePart>) {
        let done = parts.iter().map(|part| part.done).sum();
        let total = parts.iter().map(|part| part.total).sum();
        (self.stages)(Stage { name, detail: String::new(), done: Some(done), total: Some(total), parts });
    }
}

/// Tells how much was read.
#[derive(Debug)]
pub(crate) struct CountingReader<'a, R> {
    inner: R,
    stage: &'static str,
    total: Option<u64>,
    done: u64,
    told: u64,
    progress: &'a Progress,
}

impl<'a, R: Read> CountingReader<'a, R> {
    pub(crate) fn new(inner: R, stage: &'static str, total: Option<u64>, progress: &'a Progress) -> Self {
        Self { inner, stage, total, done: 0, told: 0, progress }
    }
}

impl<R: Read> Read for CountingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        if self.done >= self.told + STEP_BYTES {
            self.told = self.done;
            self.progress.bytes(self.stage, self.done, self.total);
        }
        Ok(count)
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Progress")
    }
}
