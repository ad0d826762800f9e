//! All tests of the contract, each with the behaviour that it needs from its guest.

use std::sync::Arc;

use banger_vmm::Vmm;
use futures::future::BoxFuture;
use libtest_mimic::Trial;

use crate::guest::{Does, Guest};
use crate::trials::trial;
use crate::{channel, elsewhere, machine, orders};

/// A constructor of a driver.
pub type Driver = fn() -> Arc<dyn Vmm>;

/// The subject of a test.
pub(crate) struct Subject {
    pub(crate) vmm: Arc<dyn Vmm>,
    pub(crate) guest: Arc<dyn Guest>,
    pub(crate) does: Does,
    /// The suite's name.
    pub(crate) suite: String,
}

type Test = fn(Subject) -> BoxFuture<'static, ()>;

macro_rules! tests {
    ($($name:literal, $does:ident, $test:path;)*) => {
        &[$(($name, Does::$does, (|subject| Box::pin($test(subject))) as Test)),*]
    };
}

const TESTS: &[(&str, Does, Test)] = tests![
    "the_console_is_kept_and_the_end_is_an_event", End, machine::console_then_end;
    "a_killed_machine_leaves_nothing", Run, machine::kill;
    "a_silent_guest_costs_the_deadline_and_no_more", Halt, machine::silent_guest;
    "a_machine_outlives_its_owner_and_is_taken_over", Halt, machine::adoption;
    "a_machine_of_another_process_is_taken_over", Halt, elsewhere::adoption;
    "a_machine_that_ended_unseen_is_cleaned_up", Run, machine::ended_unseen;
    "a_strangers_process_is_not_taken_over", Run, machine::stranger;
    "a_cancelled_start_leaves_no_process", Run, machine::cancelled_start;
    "two_machines_run_side_by_side", Run, machine::two_at_once;
    "a_machine_without_a_handle_is_found", Run, machine::orphan;
    "plans_that_cannot_be_carried_out_are_refused", Run, machine::bad_plans;
    "a_file_that_is_no_kernel_is_refused", Run, machine::no_kernel;
    "the_network_lives_and_ends_with_its_machine", Run, machine::network;
    "the_sockets_of_a_machine_may_have_long_paths", Halt, machine::long_paths;
    "shared_drives_are_read_and_own_ones_written", Drives, machine::drives;
    "a_paused_guest_stands_still_and_a_resumed_one_goes_on", Tick, orders::pause_and_resume;
    "a_paused_machine_can_be_taken_over_and_resumed", Tick, orders::adoption_while_paused;
    "a_machine_tells_what_it_uses", Tick, orders::stats;
    "drives_are_counted", Drives, orders::drive_stats;
    "orders_to_a_machine_that_has_ended_are_told_so", Run, orders::after_the_end;
    "a_vmm_that_hangs_costs_the_deadline_and_no_more", Run, orders::silent_vmm;
    "a_stream_carries_every_byte_both_ways", Echo, channel::integrity;
    "many_streams_at_once_keep_apart", Echo, channel::many_streams;
    "a_port_that_nobody_listens_on_is_refused", Echo, channel::refused_port;
    "the_channel_is_there_for_the_next_owner", Echo, channel::adoption;
    "new_streams_open_after_a_pause", Echo, channel::after_a_pause;
];

/// Returns the tests of a driver with a guest. Their names begin with `name`.
pub fn suite(name: &str, driver: Driver, guest: &Arc<dyn Guest>) -> Vec<Trial> {
    let can = |does: &Does| guest.can(*does);
    TESTS
        .iter()
        .filter(|(_, does, _)| can(does))
        .map(|(test_name, does, test)| {
            let guest = Arc::clone(guest);
            let (does, test, suite) = (*does, *test, name.to_owned());
            trial(format!("{name}::{test_name}"), move || test(Subject { vmm: driver(), guest, does, suite }))
        })
        .collect()
}

impl Subject {
    /// Makes the directories of a new VM.
    pub(crate) fn rig(&self) -> crate::Rig {
        self.guest.rig(self.does)
    }
}
