//! The processes beside a VMM that live and die with its machine.

use banger_sys::process::ProcessIdentity;

use crate::launch::Started;

/// What runs beside a VMM, with its name. Killed when dropped before [`Companions::release`].
#[derive(Default)]
pub(crate) struct Companions(Vec<(&'static str, Started)>);

impl Companions {
    pub(crate) fn add(&mut self, program: &'static str, started: Started) {
        self.0.push((program, started));
    }

    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = ProcessIdentity> {
        self.0.iter().map(|(_, started)| started.identity)
    }

    /// Returns the name of one that has ended already: it did not like its options.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        self.0.iter().find(|(_, started)| !started.identity.is_alive()).map(|(program, _)| *program)
    }

    /// Lets them live as long as the VMM. The runtime reaps them.
    pub(crate) fn release(self) {
        for (_, started) in self.0 {
            started.release();
        }
    }
}
