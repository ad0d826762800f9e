//! `vm stats`: what VMs use.

mod ask;
mod figures;
mod table;
mod watch;

use std::time::Duration;

use banger_api::{StatsQuery, VmView, route};
use banger_client::{Client, Target};
use banger_sys::paths::Paths;
use futures::future::join_all;

use crate::args::shared::AnyVms;
use crate::ensure::ensure;
use crate::error::{CliError, Kind};
use crate::form::Form;
use crate::progress::Board;
use crate::render::{self, complain};
use crate::targets::{Answer, as_json, choose, tell_failures};
use ask::ask;
use figures::Figures;

/// Between the two looks that make a rate, when there is only one answer.
const RATE_TIME: Duration = Duration::from_millis(500);

/// Shows it, once or until a signal comes; returns the exit status.
pub(crate) async fn stats(
    paths: &Paths,
    wanted: &AnyVms,
    is_watched: bool,
    board: &Board,
) -> Result<u8, CliError> {
    let client = ensure(paths).await?;
    let form = Form::of(wanted.json, board);
    // A list of ids does not change from second to second.
    if is_watched && form != Form::Ids {
        return watch::watch(&client, wanted).await;
    }
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    let answers = join_all(choose(&wanted.vms, &vms).into_iter().map(|target| look(&client, target))).await;
    let figures: Vec<_> = answers.iter().filter_map(|answer| answer.result.as_ref().ok()).collect();
    match form {
        Form::Json => render::print_json(&as_json(&answers, "stats"))?,
        Form::Ids => render::print(&ids(&figures))?,
        // Without any figures, the errors say everything.
        Form::Text if !figures.is_empty() || answers.is_empty() => render::print(&table::table(&figures))?,
        Form::Text => {}
    }
    let silent = tell_silent(&answers);
    tell_failures(&answers)?;
    Ok(u8::from(silent))
}

fn ids(figures: &[&Figures]) -> String {
    figures.iter().map(|figures| format!("{}\n", figures.stats.id)).collect()
}

/// Looks twice: a rate needs a time. The first look is at the host's figures alone, which come at once.
async fn look(client: &Client, (typed, found): Target<'_>) -> Answer<Figures> {
    let vm = match found {
        Ok(vm) => vm,
        Err(error) => return Answer::missing(typed, error),
    };
    let before = ask(client, vm, StatsQuery { host_only: true }).await;
    tokio::time::sleep(RATE_TIME).await;
    let result =
        ask(client, vm, StatsQuery::default()).await.map(|now| Figures::new(before.as_ref().ok(), now));
    Answer::of(vm, result)
}

/// Tells which guests gave no figures; returns whether there was one.
fn tell_silent(answers: &[Answer<Figures>]) -> bool {
    let mut is_any = false;
    for figures in answers.iter().filter_map(|answer| answer.result.as_ref().ok()) {
        if let Some(why) = &figures.stats.guest_error {
            let hint = format!("banger vm logs {}", figures.stats.name);
            complain(None, &CliError::new(Kind::Silent, why.clone()).with_hint(hint));
            is_any = true;
        }
    }
    is_any
}
