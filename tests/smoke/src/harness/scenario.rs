//! What a scenario is.

use banger_sys::host::{Virtualization, virtualization};

/// Beside what a scenario may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Beside anything.
    Pure,
    /// After the one before it in its chain, whose repository it goes on with.
    Repodir,
    /// Alone, after all others: it looks at the whole host, at times, or acts on every VM that there is.
    Global,
}

/// What a host must have for a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Root, to make namespaces with networks and mounts, and to become another user.
    Root,
    /// Hardware virtualisation.
    Virtualization,
}

/// Something that banger promises, and how it is seen on a real guest.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, unique.
    pub name: &'static str,
    /// Beside what it may run.
    pub class: Class,
    /// What it proves, as a claim.
    pub proves: &'static str,
    /// What the host must have.
    pub need: Option<Need>,
    /// Roughly how long it takes alone, in seconds: the long ones begin first.
    pub seconds: u32,
    /// The scenario itself; it panics when the claim is false.
    pub run: fn(),
}

/// A scenario that cannot be written yet. It is listed, and never counted as passed.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What banger lacks.
    pub feature: &'static str,
}

impl Scenario {
    /// A scenario that may run beside anything.
    #[must_use]
    pub const fn pure(name: &'static str, seconds: u32, proves: &'static str, run: fn()) -> Self {
        Self { name, class: Class::Pure, proves, need: None, seconds, run }
    }

    /// A scenario of the chain that shares a repository.
    #[must_use]
    pub const fn repodir(name: &'static str, seconds: u32, proves: &'static str, run: fn()) -> Self {
        Self { name, class: Class::Repodir, proves, need: None, seconds, run }
    }

    /// A scenario that runs alone.
    #[must_use]
    pub const fn global(name: &'static str, seconds: u32, proves: &'static str, run: fn()) -> Self {
        Self { name, class: Class::Global, proves, need: None, seconds, run }
    }

    /// The same, where the host has this.
    #[must_use]
    pub const fn needs(mut self, need: Need) -> Self {
        self.need = Some(need);
        self
    }
}

impl Class {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Repodir => "repodir",
            Self::Global => "global",
        }
    }
}

impl Need {
    /// Says why this host does not have it; `None` when it does.
    #[must_use]
    pub fn missing_here(self) -> Option<&'static str> {
        match self {
            Self::Root if rustix::process::geteuid().is_root() => None,
            Self::Root => Some("only root can make namespaces and become another user"),
            Self::Virtualization => match virtualization() {
                Virtualization::Usable => None,
                Virtualization::Absent => Some("there is no /dev/kvm"),
                Virtualization::Forbidden => Some("this user may not open /dev/kvm"),
                Virtualization::SoftwareOnly => {
                    Some("/dev/kvm is a software one: the processor has neither vmx nor svm")
                }
            },
        }
    }
}
