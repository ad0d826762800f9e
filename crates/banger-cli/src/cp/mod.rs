//! `vm cp`: files and directories into VMs, out of them, and from one to another. `banger-client` copies; here arguments
//! become a plan, and what passes is counted and shown.

mod error;
mod meter;
mod plan;

use std::convert::Infallible;
use std::io::{self, IsTerminal as _, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use banger_client::copy::{CopyError, CopyPlan, Guest, Place, Prepared, Sources, Streams, Work};
use banger_sys::paths::Paths;

use crate::absence;
use crate::args::vm::CpArgs;
use crate::broken_stream::{self, Purpose};
use crate::ensure::ensure;
use crate::error::CliError;
use crate::progress::Board;
use crate::render;
use crate::signals::Signals;
use error::{StreamError, interrupted};
use meter::Meter;

/// Exit status when something that should have come did not.
const INCOMPLETE: u8 = 1;

/// Tells of guests that are away while they are copied from and to.
async fn tell_absence(guests: &[Guest]) -> Infallible {
    let all = guests.iter().map(|guest| absence::tell(guest.client(), guest.vm()));
    futures::future::join_all(all).await;
    std::future::pending().await
}

/// Refuses to read a tar from a keyboard, or to write one to a screen.
fn refuse_terminals(plan: &CopyPlan) -> Result<(), StreamError> {
    if plan.sources == Sources::Stream && io::stdin().is_terminal() {
        return Err(StreamError::InputTerminal);
    }
    if plan.destination == Place::Stream && io::stdout().is_terminal() {
        return Err(StreamError::OutputTerminal);
    }
    Ok(())
}

/// A stream of which it is known whether anything came: an empty one is a tar of nothing as well.
struct Noticed<R> {
    stream: R,
    has_come: Arc<AtomicBool>,
}

impl<R: Read> Read for Noticed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if count > 0 {
            self.has_come.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }
}

/// Copies; returns the exit status.
pub(crate) async fn cp(paths: &Paths, args: CpArgs, board: &Board) -> Result<u8, CliError> {
    let plan = plan::plan(&args, rustix::process::geteuid().is_root())?;
    let is_from_stream = plan.sources == Sources::Stream;
    refuse_terminals(&plan)?;
    let mut signals = Signals::listen()?;
    let opened = async {
        // What is here is looked at first: a mistake in it costs nothing.
        let prepared = Prepared::open(plan)?;
        let client = ensure(paths).await?;
        match prepared.enter(&client).await {
            Err(CopyError::Enter { vm, source }) => {
                let error = absence::explain(&client, &vm, source.into()).await;
                Err(broken_stream::explain(&client, &vm, Purpose::Copy, error).await)
            }
            entered => Ok(entered?),
        }
    };
    let copy = tokio::select! {
        opened = opened => opened?,
        stop = signals.next() => return Ok(stop.exit_status()),
    };
    let guests = copy.guests();
    let mut meter = Meter::new(board);
    let work = Work::default();
    let has_come = Arc::new(AtomicBool::new(false));
    let input = Noticed { stream: io::stdin(), has_come: Arc::clone(&has_come) };
    let streams = Streams { input: Box::new(input), output: Box::new(io::stdout()) };
    let copied = tokio::select! {
        copied = copy.run(streams, &mut meter, &work) => copied.map_err(CliError::from),
        never = tell_absence(&guests) => match never {},
        stop = signals.next() => {
            work.abandoned().await;
            meter.clear();
            return Err(interrupted(stop, meter.tally().files));
        }
    };
    match (copied, guests.as_slice()) {
        (Ok(()), _) => {}
        (Err(error), [guest]) => {
            return Err(broken_stream::explain(guest.client(), guest.vm(), Purpose::Copy, error).await);
        }
        (Err(error), [guest, ..]) => {
            let vms = guests.iter().map(Guest::vm);
            return Err(broken_stream::explain_any(guest.client(), vms, Purpose::Copy, error).await);
        }
        (Err(error), []) => return Err(error),
    }
    if is_from_stream && !has_come.load(Ordering::Relaxed) {
        return Err(StreamError::Empty.into());
    }
    meter.finish();
    let tally = meter.tally();
    if args.json.json {
        render::print_json(&tally)?;
    }
    Ok(if tally.failures == 0 { 0 } else { INCOMPLETE })
}
