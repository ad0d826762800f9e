//! Counts what passes and shows it: a live line on a terminal, one line at the end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Instant;

use banger_model::count;
use banger_tree::{Item, Skipped};
use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::foreign;
use crate::painted::Painted;
use crate::progress::{Bar, Board};
use crate::render::{bytes, say, seconds};

/// Things that do not come along and are told one by one; then only counted.
const TOLD_MAX: u64 = 20;
/// Most characters that are told of a path and of a reason.
const PATH_CHARS_MAX: usize = 512;
const REASON_CHARS_MAX: usize = 200;

/// What has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Files and links that are whole.
    pub(super) files: u64,
    /// Bytes of files.
    pub(super) bytes: u64,
    /// What should have come and did not.
    pub(super) failures: u64,
    /// What cannot be copied.
    #[serde(rename = "skipped")]
    pub(super) passed_over: u64,
}

/// Counts and shows.
pub(super) struct Meter {
    tally: Tally,
    bar: Option<Bar>,
    /// Bytes of what comes, when it is one file.
    expected: Option<u64>,
    is_quiet: bool,
    begun: Instant,
}

impl banger_client::copy::Meter for Meter {
    /// Passes everything on but what does not come along, which is told here.
    async fn pass(&mut self, mut from: Receiver<Vec<Item>>, to: Sender<Vec<Item>>) {
        while let Some(mut batch) = from.recv().await {
            batch.retain(|item| self.count(item));
            self.show();
            if to.send(batch).await.is_err() {
                return;
            }
        }
    }
}

impl Meter {
    pub(super) fn new(board: &Board) -> Self {
        let bar = match board {
            Board::Live(board) => Some(Bar::add(board, "{spinner} copy  {msg}  {elapsed}", true)),
            Board::Plain | Board::Quiet => None,
        };
        let is_quiet = matches!(board, Board::Quiet);
        Self { tally: Tally::default(), bar, expected: None, is_quiet, begun: Instant::now() }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes the live line away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.clear();
        }
    }

    /// Tells what came, at the end.
    pub(super) fn finish(&mut self) {
        self.clear();
        let Tally { files, bytes: size, failures, passed_over } = self.tally;
        let told = failures.saturating_add(passed_over);
        if told > TOLD_MAX {
            say(&format!("{} more skipped", told - TOLD_MAX));
        }
        if !self.is_quiet {
            let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            say(&format!("copied {}, {} in {}", count("file", files), bytes(size), seconds(millis)));
        }
    }

    /// Counts an item; tells whether it goes on.
    fn count(&mut self, item: &Item) -> bool {
        match item {
            Item::Data { content, .. } => {
                self.tally.bytes = self.tally.bytes.saturating_add(content.len() as u64);
            }
            Item::FileEnd { .. } | Item::Link { .. } => self.tally.files += 1,
            Item::Skipped(skipped) => {
                self.tell(skipped);
                return false;
            }
            Item::File { size, .. } => {
                self.expected = (self.tally == Tally::default()).then_some(*size).filter(|size| *size > 0);
            }
            Item::Enter { .. } | Item::Leave | Item::FileBroken | Item::End => {}
        }
        true
    }

    fn tell(&mut self, Skipped { path, reason, is_failure }: &Skipped) {
        let tally = &mut self.tally;
        let count = if *is_failure { &mut tally.failures } else { &mut tally.passed_over };
        *count = count.saturating_add(1);
        if tally.failures.saturating_add(tally.passed_over) > TOLD_MAX {
            return;
        }
        // Both may be a guest's words.
        let path = OsStr::from_bytes(path).to_string_lossy();
        let (path, reason) = (foreign::line(&path, PATH_CHARS_MAX), foreign::line(reason, REASON_CHARS_MAX));
        let line = format!("skipped `{path}`: {reason}");
        match &self.bar {
            Some(bar) => bar.println(&Painted::line(&line)),
            None if self.is_quiet && !is_failure => {}
            None => say(&line),
        }
    }

    fn show(&self) {
        if let Some(bar) = &self.bar {
            let millis = self.begun.elapsed().as_millis().max(1);
            let rate = u128::from(self.tally.bytes) * 1000 / millis;
            let rate = bytes(u64::try_from(rate).unwrap_or(u64::MAX));
            let done = bytes(self.tally.bytes);
            bar.show(&match self.expected {
                Some(size) => format!("{done} of {}  {rate}/s", bytes(size)),
                None => format!("{}  {done}  {rate}/s", count("file", self.tally.files)),
            });
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}
