//! `vm cp`: files and directories into VMs, out of them, and from one to another.
//!
//! ```text
//! host's disk ─ thread ─┐                               ┌─ thread ─ host's disk
//! guest's ReadTree ─────┼─▶ queue ─▶ meter ─▶ queue ────┼─ guest's WriteTree
//! tar on stdin ─ thread ┘      counts, shows progress   └─ thread ─ tar on stdout
//! ```
//! Every queue is short, so the slowest part sets the pace and memory stays the same for any size.

mod error;
mod host;
mod meter;
mod plan;
mod tar_input;
mod tar_output;

use std::convert::Infallible;
use std::time::Duration;

use banger_agent_proto::{ReadTreeRequest, WriteTreeStart};
use banger_api::VmView;
use banger_client::Client;
use banger_guest::{AgentClient, AgentError};
use banger_sys::paths::Paths;
use banger_tree::{Item, Owners, TreeReader, TreeWriter, WriterOptions};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::absence;
use crate::args::vm::CpArgs;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::exec::find;
use crate::progress::Board;
use crate::render;
use crate::signals::Signals;
pub(crate) use error::CopyError;
use host::Work;
use meter::{Meter, Tally};
use plan::{CpPlan, GuestPath, Place, Sources};

/// Batches that wait between two parts.
const QUEUE_MAX: usize = 4;
/// How long a guest that is there may neither give nor take anything.
const SILENCE: Duration = Duration::from_secs(30);
/// Exit status when something that should have come did not.
const INCOMPLETE: u8 = 1;

/// Where items come from, opened.
enum Source {
    Host(Vec<TreeReader>),
    Guest(Vec<(GuestPath, Guest)>),
    Stream,
}

/// Where items go, opened.
enum Sink {
    Host(TreeWriter),
    Guest(GuestPath, Box<Guest>),
    Stream,
}

/// A guest that is spoken to.
#[derive(Clone)]
struct Guest {
    agent: AgentClient,
    client: Client,
    vm: VmView,
}

impl Guest {
    async fn enter(client: &Client, vm: &VmView) -> Result<Self, CliError> {
        match banger_client::enter(client, vm).await {
            Ok(agent) => Ok(Self { agent, client: client.clone(), vm: vm.clone() }),
            Err(error) => Err(absence::explain(client, vm, error.into()).await),
        }
    }

    async fn is_away(&self) -> bool {
        absence::is_away(&self.client, &self.vm).await
    }

    async fn after_break(&self, error: CliError) -> CliError {
        absence::after_break(&self.client, &self.vm, error).await
    }
}

/// Tells of guests that are away while they are copied from and to.
async fn tell_absence(guests: Vec<Guest>) -> Infallible {
    let all = guests.iter().map(|guest| absence::tell(&guest.client, &guest.vm));
    futures::future::join_all(all).await;
    std::future::pending().await
}

/// Copies; returns the exit status.
pub(crate) async fn cp(paths: &Paths, args: CpArgs, board: &Board) -> Result<u8, CliError> {
    let plan = CpPlan::of(&args, rustix::process::geteuid().is_root())?;
    let mut signals = Signals::listen()?;
    let opened = async {
        // What is here is looked at first: a mistake in it costs nothing.
        let here = open_here(&plan)?;
        let client = ensure(paths).await?;
        open_guests(&client, &plan, here).await
    };
    let (source, sink) = tokio::select! {
        opened = opened => opened?,
        stop = signals.next() => return Ok(stop.exit_status()),
    };
    let guests = guests_of(&source, &sink);
    let mut meter = Meter::new(board);
    let work = Work::default();
    let tally = tokio::select! {
        tally = transfer(&plan, source, sink, &mut meter, &work) => tally,
        never = tell_absence(guests.clone()) => match never {},
        stop = signals.next() => {
            work.abandoned().await;
            meter.clear();
            return Err(CopyError::Interrupted { status: stop.exit_status(), files: meter.tally().files }.into());
        }
    };
    let tally = match (tally, guests.as_slice()) {
        (Ok(tally), _) => tally,
        (Err(error), [guest]) => return Err(guest.after_break(error).await),
        // Of two guests the error does not tell which one it was.
        (Err(error), _) => return Err(error),
    };
    meter.finish();
    if args.json.json {
        render::print_json(&tally)?;
    }
    Ok(if tally.failures == 0 { 0 } else { INCOMPLETE })
}

/// The parts on this host.
type Here = (Option<Vec<TreeReader>>, Option<TreeWriter>);

fn open_here(plan: &CpPlan) -> Result<Here, CliError> {
    let readers = match &plan.sources {
        Sources::Host(paths) => {
            let readers = paths.iter().map(|path| TreeReader::open(path, plan.follows_links));
            Some(readers.collect::<Result<Vec<_>, _>>()?)
        }
        Sources::Guest(_) | Sources::Stream => None,
    };
    let writer = match &plan.destination {
        Place::Host(path) => {
            // Whatever a guest says, nothing of it becomes a program with somebody else's rights here.
            let owners = if plan.keeps_owners { Owners::Kept { special_bits: false } } else { Owners::Ours };
            let options = WriterOptions { into_directory: plan.into_directory, owners };
            Some(TreeWriter::open(path, options)?)
        }
        Place::Guest(_) | Place::Stream => None,
    };
    Ok((readers, writer))
}

async fn open_guests(client: &Client, plan: &CpPlan, here: Here) -> Result<(Source, Sink), CliError> {
    let (readers, writer) = here;
    let mut from = Vec::new();
    let source = match &plan.sources {
        Sources::Guest(paths) => {
            let mut guests = Vec::new();
            for path in paths {
                let vm = find(client, &path.vm).await?;
                guests.push((path.clone(), Guest::enter(client, &vm).await?));
                from.push(vm.id);
            }
            Source::Guest(guests)
        }
        Sources::Host(_) | Sources::Stream => readers.map_or(Source::Stream, Source::Host),
    };
    let sink = match &plan.destination {
        Place::Guest(path) => {
            let vm = find(client, &path.vm).await?;
            if from.contains(&vm.id) {
                return Err(CopyError::SameVm { vm: vm.name.to_string() }.into());
            }
            Sink::Guest(path.clone(), Box::new(Guest::enter(client, &vm).await?))
        }
        Place::Host(_) | Place::Stream => writer.map_or(Sink::Stream, Sink::Host),
    };
    Ok((source, sink))
}

/// The guests on both sides, each once.
fn guests_of(source: &Source, sink: &Sink) -> Vec<Guest> {
    let mut guests: Vec<Guest> = match source {
        Source::Guest(guests) => guests.iter().map(|(_, guest)| guest.clone()).collect(),
        Source::Host(_) | Source::Stream => Vec::new(),
    };
    if let Sink::Guest(_, guest) = sink {
        guests.push(Guest::clone(guest));
    }
    guests.sort_by(|one, other| one.vm.id.as_str().cmp(other.vm.id.as_str()));
    guests.dedup_by(|one, other| one.vm.id == other.vm.id);
    guests
}

/// Carries everything; the first part that fails ends the others.
async fn transfer(
    plan: &CpPlan,
    source: Source,
    sink: Sink,
    meter: &mut Meter,
    work: &Work,
) -> Result<Tally, CliError> {
    let (sender, metered) = mpsc::channel(QUEUE_MAX);
    let (passed, receiver) = mpsc::channel(QUEUE_MAX);
    let (given, (), taken) = tokio::join!(
        give(plan, source, sender, work),
        meter.pass(metered, passed),
        take(plan, sink, receiver, work)
    );
    // A source that failed is why the sink saw no end; a sink that failed makes a source end without a word.
    given?;
    taken?;
    Ok(meter.tally())
}

async fn give(plan: &CpPlan, source: Source, sender: Sender<Vec<Item>>, work: &Work) -> Result<(), CliError> {
    match source {
        Source::Host(readers) => host::read(work, readers, sender).await,
        Source::Stream => tar_input::read(work, sender).await,
        Source::Guest(guests) => {
            for (path, guest) in guests {
                let told = |error| guest_error(&path, error);
                let request = ReadTreeRequest { path: path.path.clone(), follow_link: plan.follows_links };
                let mut tree = guest.agent.read_tree(request, SILENCE).await.map_err(told)?;
                loop {
                    let batch = match tree.next().await {
                        Err(AgentError::Stalled { .. }) if guest.is_away().await => continue,
                        batch => batch.map_err(told)?,
                    };
                    let Some(batch) = batch else { break };
                    if sender.send(batch).await.is_err() {
                        return Ok(());
                    }
                }
            }
            let _ = sender.send(vec![Item::End]).await;
            Ok(())
        }
    }
}

async fn take(plan: &CpPlan, sink: Sink, receiver: Receiver<Vec<Item>>, work: &Work) -> Result<(), CliError> {
    match sink {
        Sink::Host(writer) => host::write(work, writer, receiver).await,
        Sink::Stream => tar_output::write(work, plan.keeps_owners, receiver).await,
        Sink::Guest(path, guest) => {
            let start = WriteTreeStart {
                destination: path.path.clone(),
                into_directory: plan.into_directory,
                keep_owners: plan.keeps_owners,
            };
            let is_away = async || guest.is_away().await;
            let written = guest.agent.write_tree(start, receiver, SILENCE, is_away).await;
            written.map(drop).map_err(|error| guest_error(&path, error))
        }
    }
}

/// What a guest refuses is told as its own words about the VM, and what it sends wrongly with what was asked for.
fn guest_error(path: &GuestPath, error: AgentError) -> CliError {
    match error {
        AgentError::Refused { message, .. } => CopyError::Files { vm: path.vm.clone(), message }.into(),
        error @ (AgentError::NotAsked { .. } | AgentError::TreeCutOff | AgentError::BadPath { .. }) => {
            CopyError::Tree { what: path.text(), source: error }.into()
        }
        other => other.into(),
    }
}
