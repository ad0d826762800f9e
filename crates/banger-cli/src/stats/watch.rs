//! `vm stats --watch`: every second anew. Each VM is asked on its own, and asked again only when it has answered: one
//! whose guest is silent holds up its own row and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::Duration;

use banger_api::{StatsQuery, VmStats, VmView, route};
use banger_client::Client;
use banger_model::{VmId, VmName};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval};

use super::ask::ask;
use super::figures::Figures;
use super::table;
use crate::args::shared::AnyVms;
use crate::error::{CliError, Kind};
use crate::painted;
use crate::render::{self, complain};
use crate::signals::{Signals, Stop};
use crate::targets::choose;
use crate::terminal;

/// From one picture to the next.
const PERIOD: Duration = Duration::from_secs(1);

type Asked = BoxFuture<'static, (VmId, Result<VmStats, CliError>)>;

/// Everything that is known, and what was asked.
#[derive(Default)]
struct Watch {
    /// VMs in the order of the table.
    shown: Vec<(VmId, VmName)>,
    latest: BTreeMap<VmId, Figures>,
    asked: BTreeSet<VmId>,
    questions: FuturesUnordered<Asked>,
    /// What was typed and means no VM, told once.
    told: BTreeSet<String>,
}

/// Shows figures until a signal comes.
pub(super) async fn watch(client: &Client, wanted: &AnyVms) -> Result<u8, CliError> {
    let mut signals = Signals::listen()?;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    let mut is_first = true;
    loop {
        tokio::select! {
            biased;
            stop = signals.next() => return Ok(if stop == Stop::Interrupt { 0 } else { stop.exit_status() }),
            Some((id, answer)) = watch.questions.next() => watch.take(id, answer, wanted.json)?,
            _ = ticks.tick() => {
                let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
                if !is_first && !wanted.json {
                    watch.draw()?;
                }
                watch.ask(client, wanted, &vms)?;
                is_first = false;
            }
        }
    }
}

impl Watch {
    fn ask(&mut self, client: &Client, wanted: &AnyVms, vms: &[VmView]) -> Result<(), CliError> {
        let mut shown = Vec::new();
        for (typed, found) in choose(&wanted.vms, vms) {
            match found {
                Ok(vm) => {
                    shown.push((vm.id.clone(), vm.name.clone()));
                    if self.asked.insert(vm.id.clone()) {
                        self.questions.push(question(client.clone(), vm.clone()));
                    }
                }
                Err(error) => {
                    if self.told.insert(typed.to_owned()) {
                        complain(None, &error.into());
                    }
                }
            }
        }
        self.latest.retain(|id, _| shown.iter().any(|(shown, _)| shown == id));
        self.shown = shown;
        // All that were typed are gone: there will never be anything to show again.
        if self.shown.is_empty() && !wanted.vms.is_empty() { Err(CliError::told()) } else { Ok(()) }
    }

    fn take(&mut self, id: VmId, answer: Result<VmStats, CliError>, as_json: bool) -> Result<(), CliError> {
        self.asked.remove(&id);
        match answer {
            Ok(now) => {
                let before = self.latest.get(&id).map(|figures| &figures.stats);
                let figures = Figures::new(before, now);
                if as_json {
                    print_line(&figures)?;
                }
                self.latest.insert(id, figures);
                Ok(())
            }
            Err(error) => match error.kind() {
                // It went away between the list and the question: the next list tells.
                Kind::Refused(_) => {
                    self.latest.remove(&id);
                    Ok(())
                }
                // One VM's answer that makes no sense costs no other's.
                Kind::Unreadable => {
                    if self.told.insert(id.to_string()) {
                        complain(None, &error);
                    }
                    self.latest.remove(&id);
                    Ok(())
                }
                Kind::Usage
                | Kind::Missing
                | Kind::Silent
                | Kind::Lost
                | Kind::Command(_)
                | Kind::Interrupted(_)
                | Kind::Told(_)
                | Kind::OutputClosed
                | Kind::Failed => Err(error),
            },
        }
    }

    fn draw(&self) -> Result<(), CliError> {
        let known: Vec<_> = self.shown.iter().filter_map(|(id, _)| self.latest.get(id)).collect();
        let table = table::table(&known);
        if !std::io::stdout().is_terminal() || painted::is_dumb() {
            return render::print(&format!("{table}\n"));
        }
        let size = terminal::size();
        render::print_anew(&fit(&table, size.columns, size.rows))
    }
}

fn question(client: Client, vm: VmView) -> Asked {
    Box::pin(async move {
        let answer = ask(&client, &vm, StatsQuery::default()).await;
        (vm.id, answer)
    })
}

fn print_line(figures: &Figures) -> Result<(), CliError> {
    render::print_json_line(figures)
}

/// Cuts a text to the size of a terminal: what does not fit would scroll the picture away.
fn fit(text: &str, columns: u32, rows: u32) -> String {
    let (columns, rows) = (usize::try_from(columns).unwrap_or(80), usize::try_from(rows).unwrap_or(24));
    text.lines()
        .take(rows.saturating_sub(1))
        .map(|line| line.chars().take(columns).chain(['\n']).collect::<String>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fits_its_terminal() {
        assert_eq!(fit("abcdef\nxyz\nlost\n", 4, 3), "abcd\nxyz\n");
        assert_eq!(fit("", 80, 24), "");
    }
}
