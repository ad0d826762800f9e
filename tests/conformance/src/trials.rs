//! Tests as values: a test that cannot run here is reported by name.

use libtest_mimic::{Failed, Trial};

/// Makes a trial of an async test, with a runtime of its own.
///
/// # Panics
/// As the test does.
pub fn trial<F>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(test());
        Ok::<(), Failed>(())
    })
}

/// Makes a trial that is skipped, with the reason in its name.
#[must_use]
pub fn skipped(name: &str, why: &str) -> Trial {
    eprintln!("skipped: {name}: {why}");
    Trial::test(format!("{name} (skipped: {why})"), || Ok(())).with_ignored_flag(true)
}
