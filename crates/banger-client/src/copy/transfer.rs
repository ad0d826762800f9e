//! Carries a copy from its source to its destination.
//!
//! ```text
//! host's disk ─ thread ─┐                               ┌─ thread ─ host's disk
//! guest's ReadTree ─────┼─▶ queue ─▶ meter ─▶ queue ────┼─ guest's WriteTree
//! tar on a stream ──────┘           counts              └─ thread ─ tar on a stream
//! ```
//! Every queue is short, so the slowest part sets the pace and memory stays the same for any size.

use std::fmt;
use std::io;
use std::time::Duration;

use banger_agent_proto::{ReadTreeRequest, WriteTreeStart};
use banger_api::{VmView, route};
use banger_guest::{AgentClient, AgentError};
use banger_tree::{Item, Owners, TreeReader, TreeWriter, WriterOptions};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::error::CopyError;
use super::host::{self, Work};
use super::plan::{CopyPlan, GuestPath, Place, Sources};
use super::{tar_input, tar_output};
use crate::absence::absent_since;
use crate::client::Client;
use crate::guest;

/// Batches that wait between two parts.
const QUEUE_MAX: usize = 4;
/// How long a guest that is there may neither give nor take anything.
const SILENCE: Duration = Duration::from_secs(30);

/// Sees everything that is copied, and may leave out what does not come along.
pub trait Meter {
    /// Passes everything on.
    fn pass(&mut self, from: Receiver<Vec<Item>>, to: Sender<Vec<Item>>) -> impl Future<Output = ()>;
}

/// Streams that a tar comes from and goes to.
pub struct Streams {
    /// Where a tar comes from.
    pub input: Box<dyn io::Read + Send>,
    /// Where a tar goes.
    pub output: Box<dyn io::Write + Send>,
}

/// A copy whose parts on this host are opened.
pub struct Prepared {
    plan: CopyPlan,
    readers: Option<Vec<TreeReader>>,
    writer: Option<TreeWriter>,
}

/// A copy that can begin.
pub struct Copy {
    plan: CopyPlan,
    source: Source,
    sink: Sink,
}

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
pub struct Guest {
    agent: AgentClient,
    client: Client,
    vm: VmView,
}

impl fmt::Debug for Guest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guest").field("vm", &self.vm.name).finish_non_exhaustive()
    }
}

impl Guest {
    async fn enter(client: &Client, vm: &VmView) -> Result<Self, CopyError> {
        match guest::enter(client, vm).await {
            Ok(agent) => Ok(Self { agent, client: client.clone(), vm: vm.clone() }),
            Err(source) => Err(CopyError::Enter { vm: Box::new(vm.clone()), source }),
        }
    }

    /// Returns the VM that it runs in.
    #[must_use]
    pub fn vm(&self) -> &VmView {
        &self.vm
    }

    /// Returns the client by which it is reached.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn is_away(&self) -> bool {
        absent_since(&self.client, &self.vm).await.is_some()
    }
}

impl Prepared {
    /// Opens what is on this host: a mistake in it costs nothing.
    ///
    /// # Errors
    /// [`CopyError::Read`], [`CopyError::Write`].
    pub fn open(plan: CopyPlan) -> Result<Self, CopyError> {
        let (readers, writer) = open_here(&plan)?;
        Ok(Self { plan, readers, writer })
    }

    /// Enters the guests.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn enter(self, client: &Client) -> Result<Copy, CopyError> {
        let Self { plan, readers, writer } = self;
        let (source, sink) = open_guests(client, &plan, readers, writer).await?;
        Ok(Copy { plan, source, sink })
    }
}

impl Copy {
    /// Returns the guests on both sides, each once.
    #[must_use]
    pub fn guests(&self) -> Vec<Guest> {
        guests_of(&self.source, &self.sink)
    }

    /// Carries everything; the first part that fails ends the others.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn run(self, streams: Streams, meter: &mut impl Meter, work: &Work) -> Result<(), CopyError> {
        let Self { plan, source, sink } = self;
        let (sender, metered) = mpsc::channel(QUEUE_MAX);
        let (passed, receiver) = mpsc::channel(QUEUE_MAX);
        let (given, (), taken) = tokio::join!(
            give(&plan, source, streams.input, sender, work),
            meter.pass(metered, passed),
            take(&plan, sink, streams.output, receiver, work)
        );
        // A source that failed is why the sink saw no end; a sink that failed makes a source end without a word.
        given?;
        taken
    }
}

fn open_here(plan: &CopyPlan) -> Result<(Option<Vec<TreeReader>>, Option<TreeWriter>), CopyError> {
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

async fn open_guests(
    client: &Client,
    plan: &CopyPlan,
    readers: Option<Vec<TreeReader>>,
    writer: Option<TreeWriter>,
) -> Result<(Source, Sink), CopyError> {
    let mut from = Vec::new();
    let source = match &plan.sources {
        Sources::Guest(paths) => {
            let mut guests = Vec::new();
            for path in paths {
                let vm: VmView = client.get(route::SHOW_VM.of(&path.vm)).await?;
                guests.push((path.clone(), Guest::enter(client, &vm).await?));
                from.push(vm.id);
            }
            Source::Guest(guests)
        }
        Sources::Host(_) | Sources::Stream => readers.map_or(Source::Stream, Source::Host),
    };
    let sink = match &plan.destination {
        Place::Guest(path) => {
            let vm: VmView = client.get(route::SHOW_VM.of(&path.vm)).await?;
            if from.contains(&vm.id) {
                return Err(CopyError::SameVm { vm: vm.name.to_string() });
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

async fn give(
    plan: &CopyPlan,
    source: Source,
    input: Box<dyn io::Read + Send>,
    sender: Sender<Vec<Item>>,
    work: &Work,
) -> Result<(), CopyError> {
    match source {
        Source::Host(readers) => host::read(work, readers, sender).await,
        Source::Stream => tar_input::read(work, input, sender).await,
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

async fn take(
    plan: &CopyPlan,
    sink: Sink,
    output: Box<dyn io::Write + Send>,
    receiver: Receiver<Vec<Item>>,
    work: &Work,
) -> Result<(), CopyError> {
    match sink {
        Sink::Host(writer) => host::write(work, writer, receiver).await,
        Sink::Stream => tar_output::write(work, output, plan.keeps_owners, receiver).await,
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
fn guest_error(path: &GuestPath, error: AgentError) -> CopyError {
    match error {
        AgentError::Refused { message, .. } => CopyError::Files { vm: path.vm.clone(), message },
        error @ (AgentError::NotAsked { .. } | AgentError::TreeCutOff | AgentError::BadPath { .. }) => {
            CopyError::Tree { what: path.text(), source: error }
        }
        other => CopyError::Agent(other),
    }
}
