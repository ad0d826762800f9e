//! Images that are asked for by where they come from.

use super::*;
use banger_model::{Hint, PullPolicy};

#[tokio::test]
async fn sixteen_machines_of_one_source_fetch_it_once_and_later_ones_ask_nobody() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", (0..3).map(layer).collect(), &json!({}));
    let home = tempfile::tempdir().unwrap();
    let (service, wanted) = (service(home.path()), wanted(&fake, home.path(), "app-v1", "v1"));
    let silent = Progress::silent();
    let held = join_all((0..16).map(|_| service.hold_oci(&wanted, PullPolicy::Missing, &silent))).await;
    assert!(held.iter().all(|held| held.as_ref().is_ok_and(|(image, _)| image.manifest.name == wanted.name)));
    assert_once(&fake, 4);
    let asked = fake.asked("/").len();
    drop(held);
    service.hold_oci(&wanted, PullPolicy::Missing, &silent).await.unwrap();
    service.hold_oci(&wanted, PullPolicy::Never, &silent).await.unwrap();
    assert_eq!(fake.asked("/").len(), asked);
}

#[tokio::test]
async fn what_is_here_of_a_source_is_used_whatever_it_is_called() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", vec![layer(1)], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path());
    pull(&service, &wanted(&fake, home.path(), "mine", "v1")).await.unwrap();
    let wanted = wanted(&fake, home.path(), "app-v1", "v1");
    let (image, _hold) = service.hold_oci(&wanted, PullPolicy::Missing, &Progress::silent()).await.unwrap();
    assert_eq!(image.manifest.name.as_str(), "mine");
    assert_eq!(names(service.images().directory()), ["mine"]);
}

#[tokio::test]
async fn nothing_is_pulled_that_must_not_be_and_no_other_image_is_taken_for_it() {
    let fake = FakeRegistry::good().await;
    for tag in ["v1", "v2"] {
        put(&fake, tag, vec![layer(1)], &json!({}));
    }
    let home = tempfile::tempdir().unwrap();
    let (service, silent) = (service(home.path()), Progress::silent());
    let first = wanted(&fake, home.path(), "app", "v1");
    let refused = service.hold_oci(&first, PullPolicy::Never, &silent).await.unwrap_err();
    assert!(matches!(refused, PullError::NotHere { .. }), "{refused:?}");
    assert!(fake.asked("/").is_empty());
    service.hold_oci(&first, PullPolicy::Missing, &silent).await.unwrap();
    let second = wanted(&fake, home.path(), "app", "v2");
    let refused = service.hold_oci(&second, PullPolicy::Missing, &silent).await.unwrap_err();
    assert!(matches!(refused, PullError::OtherSource { .. }), "{refused:?}");
    assert!(matches!(refused.hint(), Some(Hint::PullUnderOtherName { .. })), "{refused:?}");
}

#[tokio::test]
async fn always_asks_the_registry_and_pulls_only_what_is_another_one() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", vec![Tar::new().file("is", "old")], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let (service, wanted) = (service(home.path()), wanted(&fake, home.path(), "app", "v1"));
    let silent = Progress::silent();
    let (first, hold) = service.hold_oci(&wanted, PullPolicy::Missing, &silent).await.unwrap();
    drop(hold);
    let (same, hold) = service.hold_oci(&wanted, PullPolicy::Always, &silent).await.unwrap();
    assert_eq!(same.manifest.id, first.manifest.id);
    drop(hold);
    put(&fake, "v1", vec![Tar::new().file("is", "new")], &json!({}));
    let (same, hold) = service.hold_oci(&wanted, PullPolicy::Missing, &silent).await.unwrap();
    assert_eq!(same.manifest.id, first.manifest.id, "what is here is used");
    drop(hold);
    let (newer, _hold) = service.hold_oci(&wanted, PullPolicy::Always, &silent).await.unwrap();
    assert_eq!(read(&newer, "is").unwrap(), b"new");
}

/// Pulls by name, as a user does who types it, and returns what was noted beside.
async fn pull_noting(service: &ImageService, wanted: &OciPull) -> (Result<Image, PullError>, Vec<String>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&notes);
    let progress = Progress::silent().with_notes(move |note| heard.lock().unwrap().push(note));
    let pulled = service.pull_oci(wanted, Replace::Never, &progress).await;
    let notes = notes.lock().unwrap().clone();
    (pulled, notes)
}

#[tokio::test]
async fn a_pull_of_what_is_here_is_up_to_date_or_brings_what_is_newer() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", vec![Tar::new().file("is", "old")], &json!({}));
    put(&fake, "v2", vec![Tar::new().file("is", "other")], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let (service, wanted_v1) = (service(home.path()), wanted(&fake, home.path(), "app", "v1"));
    let first = pull(&service, &wanted_v1).await.unwrap();
    let (same, notes) = pull_noting(&service, &wanted_v1).await;
    assert_eq!(same.unwrap().manifest.id, first.manifest.id);
    assert_eq!(notes, ["the image `app` is up to date"]);
    put(&fake, "v1", vec![Tar::new().file("is", "new")], &json!({}));
    let (newer, notes) = pull_noting(&service, &wanted_v1).await;
    assert_eq!(read(&newer.unwrap(), "is").unwrap(), b"new");
    assert!(notes.is_empty(), "{notes:?}");
    let (taken, _) = pull_noting(&service, &wanted(&fake, home.path(), "app", "v2")).await;
    assert!(matches!(taken, Err(PullError::NameTaken { .. })), "{taken:?}");
    let other_kernel = OciPull { kernel: "other".parse().unwrap(), ..wanted_v1 };
    let (taken, _) = pull_noting(&service, &other_kernel).await;
    assert!(matches!(taken, Err(PullError::NameTaken { .. })), "{taken:?}");
}
