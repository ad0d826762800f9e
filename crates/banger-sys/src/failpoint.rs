//! Places where a test can let the process die: before and after everything that changes the host. Builds without the
//! feature `failpoints`, which includes every release, contain nothing of this.
//!
//! The crate `fail` configures each place by its name. Here one hook is called at every place, so that a test can count them
//! and die at each in turn, including those that are added later.

#[cfg(feature = "failpoints")]
type Hook = Box<dyn Fn(&'static str) + Send + Sync>;

#[cfg(feature = "failpoints")]
static HOOK: std::sync::OnceLock<Hook> = std::sync::OnceLock::new();

/// Passes the place with this name.
#[inline]
pub fn pass(name: &'static str) {
    #[cfg(feature = "failpoints")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// Calls `hook` with the name of each place that is passed from now on. Only the first hook of a process is kept.
#[cfg(feature = "failpoints")]
pub fn watch(hook: impl Fn(&'static str) + Send + Sync + 'static) {
    let _ = HOOK.set(Box::new(hook));
}
