//! The VM's command: it outlives its caller, and the host keeps its output and its end.
//!
//! ```text
//! command ─▶ pipe ─▶ `keep` ─▶ the last bytes of the output ─▶ `follow` ─▶ host
//! ```
//! The command never waits for the host. While the host is away, only the end of the output is kept.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use banger_agent_proto::{
    CommandBegun, CommandOutput, ExecExited, FollowCommandReply, FollowCommandRequest, NoCommand,
    follow_command_reply::Reply,
};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::output::{LEFT_BEHIND_BYTES_MAX, ReadError, Stream, read};

/// Maximum number of bytes of output that are kept for the host.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Maximum number of bytes in one reply, and in one read.
const CHUNK_BYTES: usize = 32 * 1024;
/// Maximum number of bytes of arguments that the host is told.
const ARGV_BYTES_MAX: usize = 4096;
/// Maximum number of replies that wait for the host.
const REPLIES_MAX: usize = 4;

/// What is known of the VM's command.
#[derive(Debug)]
pub(crate) struct VmCommandBoard {
    /// Locked only briefly.
    kept: Mutex<Option<Kept>>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Kept {
    begun: CommandBegun,
    /// The end of the output.
    output: VecDeque<u8>,
    /// Position of the end of the output.
    end: u64,
    exited: Option<ExecExited>,
}

/// Records one command. A later command takes its place.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    board: Arc<VmCommandBoard>,
    id: u64,
}

/// What a follower was told.
#[derive(Debug)]
struct Told {
    is_begun: bool,
    /// The command that it knows about.
    command: Option<u64>,
    output_bytes: u64,
    has_exited: bool,
}

impl VmCommandBoard {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Begins to record a command.
    pub(super) fn begin(self: &Arc<Self>, argv: &[Bytes]) -> Recorder {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut kept = self.kept();
        let before = kept.as_ref().map_or(0, |kept| kept.begun.started_unix_nanos);
        // The time identifies the command, also if the clock stands still or was set back.
        let id = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(before.saturating_add(1));
        let begun = CommandBegun { argv: shortened(argv), started_unix_nanos: id };
        *kept = Some(Kept { begun, output: VecDeque::new(), end: 0, exited: None });
        drop(kept);
        self.changed.send_replace(());
        Recorder { board: Arc::clone(self), id }
    }

    /// Tells the host what it does not have yet, until it goes away.
    pub(crate) fn follow(
        self: &Arc<Self>,
        request: FollowCommandRequest,
    ) -> mpsc::Receiver<Result<FollowCommandReply, Status>> {
        let (sender, replies) = mpsc::channel(REPLIES_MAX);
        let board = Arc::clone(self);
        tokio::spawn(async move {
            let mut changed = board.changed.subscribe();
            let mut told = Told { is_begun: false, command: None, output_bytes: 0, has_exited: false };
            loop {
                // Space for the reply is reserved first, so that a slow host does not fill our memory.
                let Ok(permit) = sender.reserve().await else { return };
                changed.mark_unchanged();
                if let Some(reply) = board.next(&request, &mut told) {
                    permit.send(Ok(FollowCommandReply { reply: Some(reply) }));
                    continue;
                }
                drop(permit);
                tokio::select! {
                    // The board lives as long as this task.
                    _ = changed.changed() => {}
                    () = sender.closed() => return,
                }
            }
        });
        replies
    }

    fn next(&self, request: &FollowCommandRequest, told: &mut Told) -> Option<Reply> {
        let kept = self.kept();
        let id = kept.as_ref().map(|kept| kept.begun.started_unix_nanos);
        if !told.is_begun || told.command != id {
            let has_before = id == Some(request.started_unix_nanos) && !told.is_begun;
            let output_bytes = if has_before { request.output_bytes } else { 0 };
            *told = Told { is_begun: true, command: id, output_bytes, has_exited: false };
            return Some(
                kept.as_ref().map_or(Reply::None(NoCommand {}), |kept| Reply::Begun(kept.begun.clone())),
            );
        }
        let kept = kept.as_ref()?;
        if told.output_bytes < kept.end {
            let output = kept.output_after(told.output_bytes);
            told.output_bytes =
                output.offset.saturating_add(u64::try_from(output.bytes.len()).unwrap_or(u64::MAX));
            return Some(Reply::Output(output));
        }
        let exited = kept.exited.as_ref().filter(|_| !told.has_exited)?;
        told.has_exited = true;
        Some(Reply::Exited(exited.clone()))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Returns the output from a position on, or from the first byte after it that is still there.
    fn output_after(&self, position: u64) -> CommandOutput {
        let first = self.end.saturating_sub(u64::try_from(self.output.len()).unwrap_or(u64::MAX));
        let offset = position.max(first);
        let skipped = usize::try_from(offset.saturating_sub(first)).unwrap_or(usize::MAX);
        CommandOutput { offset, bytes: self.output.iter().skip(skipped).take(CHUNK_BYTES).copied().collect() }
    }
}

impl Recorder {
    /// Records the exit.
    pub(super) fn exited(&self, exited: ExecExited) {
        self.change(|kept| kept.exited = Some(exited));
    }

    fn output(&self, bytes: &[u8]) {
        self.change(|kept| {
            kept.output.extend(bytes);
            let surplus = kept.output.len().saturating_sub(OUTPUT_BYTES_MAX);
            drop(kept.output.drain(..surplus));
            kept.end = kept.end.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.board.kept().as_mut().filter(|kept| kept.begun.started_unix_nanos == self.id)
        {
            change(kept);
        }
        self.board.changed.send_replace(());
    }
}

/// Records the output until the command has exited and everything that it wrote was read. What the processes write that it
/// left behind is recorded, too, but not waited for.
pub(super) async fn keep(source: Stream, recorder: Recorder, mut exited: watch::Receiver<bool>) {
    tokio::select! {
        () = record(&source, &recorder) => return,
        _ = exited.wait_for(|exited| *exited) => {}
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = LEFT_BEHIND_BYTES_MAX;
    while left > 0 {
        let Ok(count @ 1..) = read(&source, &mut buffer) else { break };
        recorder.output(buffer.get(..count).unwrap_or_default());
        left = left.saturating_sub(count);
    }
    tokio::spawn(async move { record(&source, &recorder).await });
}

/// Records everything until all ends of the pipe are closed.
async fn record(source: &Stream, recorder: &Recorder) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(mut guard) = source.readable().await {
        match read(source, &mut buffer) {
            Ok(0) | Err(ReadError::Failed) => return,
            Ok(count) => recorder.output(buffer.get(..count).unwrap_or_default()),
            Err(ReadError::Empty) => guard.clear_ready(),
        }
    }
}

fn shortened(argv: &[Bytes]) -> Vec<Bytes> {
    let mut left = ARGV_BYTES_MAX;
    let fits = |argument: &&Bytes| {
        // An empty argument takes space as well.
        let fits = argument.len() < left;
        left = left.saturating_sub(argument.len() + 1);
        fits
    };
    argv.iter().take_while(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use banger_agent_proto::exec_exited::Outcome;

    use super::*;

    async fn next(replies: &mut mpsc::Receiver<Result<FollowCommandReply, Status>>) -> Reply {
        replies.recv().await.unwrap().unwrap().reply.unwrap()
    }

    fn output(offset: u64, bytes: &'static [u8]) -> Reply {
        Reply::Output(CommandOutput { offset, bytes: Bytes::from_static(bytes) })
    }

    fn exit(code: u32) -> ExecExited {
        ExecExited { outcome: Some(Outcome::Code(code)), note: String::new() }
    }

    #[tokio::test]
    async fn a_follower_hears_of_every_command_from_its_begin_to_its_exit() {
        let board = Arc::new(VmCommandBoard::new());
        let mut replies = board.follow(FollowCommandRequest::default());
        assert_eq!(next(&mut replies).await, Reply::None(NoCommand {}));
        for code in [3, 4] {
            let recorder = board.begin(&["sleep".into(), "1".into()]);
            let Reply::Begun(begun) = next(&mut replies).await else { panic!("no begin") };
            assert_eq!(begun.argv, ["sleep", "1"]);
            recorder.output(b"hello");
            assert_eq!(next(&mut replies).await, output(0, b"hello"));
            recorder.output(b", you");
            recorder.exited(exit(code));
            assert_eq!(next(&mut replies).await, output(5, b", you"));
            assert_eq!(next(&mut replies).await, Reply::Exited(exit(code)));
        }
    }

    #[tokio::test]
    async fn a_follower_that_comes_back_gets_what_it_missed_as_far_as_it_is_kept() {
        let board = Arc::new(VmCommandBoard::new());
        let recorder = board.begin(&[]);
        recorder.output(b"hello");
        let id = recorder.id;
        let request = |started_unix_nanos| FollowCommandRequest { started_unix_nanos, output_bytes: 2 };
        for (started, first) in [(id, output(2, b"llo")), (id - 1, output(0, b"hello"))] {
            let mut replies = board.follow(request(started));
            assert!(matches!(next(&mut replies).await, Reply::Begun(_)));
            assert_eq!(next(&mut replies).await, first);
        }
        recorder.output(&vec![b'x'; OUTPUT_BYTES_MAX]);
        let mut replies = board.follow(request(id));
        assert!(matches!(next(&mut replies).await, Reply::Begun(_)));
        let Reply::Output(output) = next(&mut replies).await else { panic!("no output") };
        assert_eq!((output.offset, output.bytes.len()), (5, CHUNK_BYTES));
        assert_eq!(board.kept().as_ref().unwrap().output.len(), OUTPUT_BYTES_MAX);
    }

    #[test]
    fn what_an_earlier_command_still_writes_is_not_the_later_ones() {
        let board = Arc::new(VmCommandBoard::new());
        let earlier = board.begin(&[]);
        let later = board.begin(&[]);
        earlier.output(b"x");
        earlier.exited(exit(1));
        later.output(b"yz");
        let kept = board.kept();
        let kept = kept.as_ref().unwrap();
        assert_eq!((kept.end, &kept.exited), (2, &None));
    }

    #[test]
    fn endless_arguments_are_cut() {
        assert_eq!(shortened(&["a".into(), "b".into()]), ["a", "b"]);
        assert_eq!(shortened(&vec![Bytes::new(); 10_000]).len(), ARGV_BYTES_MAX);
        assert_eq!(shortened(&["a".into(), vec![b'x'; ARGV_BYTES_MAX].into(), "c".into()]), ["a"]);
    }
}
