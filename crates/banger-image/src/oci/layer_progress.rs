//! How far the layers of a pull are. Told not more often than anybody can look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::progress::{Progress, StagePart};

const STAGE_FETCH: &str = "pull layers";
const STAGE_WRITE: &str = "write rootfs";
const PAUSE: Duration = Duration::from_millis(100);
const WRITE_STEP_BYTES: u64 = 16 << 20;

/// How far the layers are.
#[derive(Debug)]
pub(crate) struct LayerProgress {
    progress: Progress,
    state: Mutex<State>,
    is_fetched: AtomicBool,
}

#[derive(Debug)]
struct State {
    parts: Vec<StagePart>,
    told: Instant,
    written: u64,
    written_told: u64,
}

impl LayerProgress {
    /// Nothing is here yet.
    pub(crate) fn new(progress: Progress, parts: Vec<StagePart>) -> Self {
        progress.parts(STAGE_FETCH, parts.clone());
        let state = State { parts, told: Instant::now(), written: 0, written_told: 0 };
        Self { progress, state: Mutex::new(state), is_fetched: AtomicBool::new(false) }
    }

    /// Of this layer so many bytes are here.
    pub(crate) fn fetched(&self, layer: usize, bytes: u64) {
        let parts = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(part) = state.parts.get_mut(layer) else { return };
            part.done = bytes;
            let is_whole = part.done >= part.total;
            if state.told.elapsed() < PAUSE && !is_whole {
                return;
            }
            state.told = Instant::now();
            state.parts.clone()
        };
        self.progress.parts(STAGE_FETCH, parts);
    }

    /// All layers are here: from now on it is told how much is written.
    pub(crate) fn all_fetched(&self) {
        self.is_fetched.store(true, Ordering::Relaxed);
    }

    /// So many more bytes of layers are unpacked.
    pub(crate) fn unpacked(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.written += bytes;
        let is_news = state.written >= state.written_told + WRITE_STEP_BYTES;
        if is_news && self.is_fetched.load(Ordering::Relaxed) {
            state.written_told = state.written;
            self.progress.bytes(STAGE_WRITE, state.written, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn parts_are_summed_and_written_bytes_wait_for_the_last_layer() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let progress = Progress::new(move |stage| list.lock().unwrap().push(stage));
        let part = |label: &str, total| StagePart { label: label.to_owned(), done: 0, total };
        let layers = LayerProgress::new(progress, vec![part("a", 10), part("b", 20)]);
        layers.unpacked(WRITE_STEP_BYTES);
        layers.fetched(1, 5);
        layers.fetched(1, 20);
        layers.fetched(7, 20);
        layers.all_fetched();
        layers.unpacked(1);
        let told = told.lock().unwrap();
        let lines: Vec<_> = told.iter().map(|stage| (stage.name, stage.done, stage.total)).collect();
        assert_eq!(
            lines,
            [
                ("pull layers", Some(0), Some(30)),
                ("pull layers", Some(20), Some(30)),
                ("write rootfs", Some(WRITE_STEP_BYTES + 1), None)
            ]
        );
        assert_eq!(told[1].parts[1].done, 20);
    }
}
