//! Request bodies: an accepted body stays the same when it is written and read again.

#![no_main]

use banger_api::{
    CreateVm, DeleteVm, ImportKernel, KillVm, PruneCache, PullImage, PullRequest, SetVm, StartVm, StopVm,
};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    round_trip::<CreateVm>(bytes);
    round_trip::<SetVm>(bytes);
    round_trip::<StartVm>(bytes);
    round_trip::<StopVm>(bytes);
    round_trip::<KillVm>(bytes);
    round_trip::<DeleteVm>(bytes);
    round_trip::<PullRequest>(bytes);
    round_trip::<PullImage>(bytes);
    round_trip::<PruneCache>(bytes);
    round_trip::<ImportKernel>(bytes);
});

fn round_trip<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<T>(bytes) else { return };
    let first = serde_json::to_string(&body).expect("a body can be written");
    let again: T = serde_json::from_str(&first).expect("what we write we read");
    assert_eq!(serde_json::to_string(&again).expect("a body can be written"), first);
}
