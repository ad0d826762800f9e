//! The processes beside a VMM that live and die with its machine.

use crate::launch::Started;
use crate::process::ProcessIdentity;

/// The processes beside a VMM, each with its name. They are killed if this is dropped before [`Companions::release`].
#[derive(Default)]
pub struct Companions(Vec<(&'static str, Started)>);

impl Companions {
    /// Adds a process, with the name that errors use for it.
    pub fn add(&mut self, program: &'static str, started: Started) {
        self.0.push((program, started));
    }

    /// Takes over all processes of another list.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Returns the processes in the order in which they were added.
    pub fn processes(&self) -> impl Iterator<Item = ProcessIdentity> {
        self.0.iter().map(|(_, started)| started.identity)
    }

    /// Returns the name of a process that has already ended, most likely because it rejected its options.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        self.0.iter().find(|(_, started)| !started.identity.is_alive()).map(|(program, _)| *program)
    }

    /// Lets the processes live as long as the VMM. The runtime reaps them.
    pub fn release(self) {
        for (_, started) in self.0 {
            started.release();
        }
    }
}
