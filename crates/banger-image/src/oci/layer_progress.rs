//! How far the layers of a pull are. Told not more often than anybody can look.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::progress::{Progress, StagePart};

const STAGE_FETCH: &str = "pull layers";
const STAGE_WRITE: &str = "write rootfs";
const PAUSE: Duration = Duration::from_millis(100);

/// How far the layers are.
#[derive(Debug)]
pub(crate) struct LayerProgress {
    progress: Progress,
    state: Mutex<State>,
    /// How much of all layers is unpacked, in bytes as they are in their files.
    read: Arc<AtomicU64>,
    /// Of how much.
    total: u64,
}

#[derive(Debug)]
struct State {
    parts: Vec<StagePart>,
    told: Instant,
}

impl LayerProgress {
    /// Nothing is here yet. `total` is the size of all layers, in bytes as they are in their files.
    pub(crate) fn new(progress: Progress, parts: Vec<StagePart>, total: u64) -> Self {
        progress.parts(STAGE_FETCH, parts.clone());
        let state = State { parts, told: Instant::now() };
        Self { progress, state: Mutex::new(state), read: Arc::default(), total }
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

    /// What counts how much of the layers is read, shared by all of them.
    pub(crate) fn read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// All layers are here: tells how much of them is unpacked, until the unpacking ends.
    pub(crate) async fn while_unpacked<T>(&self, unpacking: impl Future<Output = T>) -> T {
        let mut unpacking = pin!(unpacking);
        let (mut ticks, mut told) = (tokio::time::interval(PAUSE), 0);
        loop {
            tokio::select! {
                biased;
                unpacked = &mut unpacking => return unpacked,
                _ = ticks.tick() => {
                    let read = self.read.load(Ordering::Relaxed);
                    if read != told {
                        told = read;
                        self.progress.bytes(STAGE_WRITE, read.min(self.total), Some(self.total));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parts_are_summed_and_then_it_is_told_how_much_of_them_is_unpacked() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let progress = Progress::new(move |stage| list.lock().unwrap().push(stage));
        let part = |label: &str, total| StagePart { label: label.to_owned(), done: 0, total };
        let layers = LayerProgress::new(progress, vec![part("a", 10), part("b", 20)], 30);
        layers.fetched(1, 5);
        layers.fetched(1, 20);
        layers.fetched(7, 20);
        let read = layers.read();
        let unpacking = async {
            read.fetch_add(7, Ordering::Relaxed);
            tokio::time::sleep(3 * PAUSE).await;
            read.fetch_add(100, Ordering::Relaxed);
            tokio::time::sleep(3 * PAUSE).await;
        };
        layers.while_unpacked(unpacking).await;
        let told = told.lock().unwrap();
        let lines: Vec<_> = told.iter().map(|stage| (stage.name, stage.done, stage.total)).collect();
        assert_eq!(
            lines,
            [
                ("pull layers", Some(0), Some(30)),
                ("pull layers", Some(20), Some(30)),
                ("write rootfs", Some(7), Some(30)),
                ("write rootfs", Some(30), Some(30)),
            ]
        );
        assert_eq!(told[1].parts[1].done, 20);
    }
}
