//! The description of a scenario.

use banger_sys::host::{Virtualization, virtualization};

/// Which other scenarios may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Any others.
    Pure,
    /// Not those of its chain: it runs after the one before it, whose repository it continues with.
    Repodir,
    /// None, and it runs after all others: it examines the whole host, measures times, or acts on all VMs.
    Global,
}

/// A requirement of a scenario for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Root, to make namespaces with networks and mounts, and to become another user.
    Root,
    /// Hardware virtualisation.
    Virtualization,
}

/// A promise of banger that is tested on a real guest.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Unique name.
    pub name: &'static str,
    /// Which others may run at the same time.
    pub class: Class,
    /// The claim that it proves.
    pub proves: &'static str,
    /// The requirement for the host.
    pub need: Option<Need>,
    /// Approximate time that it takes alone, in seconds: the long ones start first.
    pub seconds: u32,
    /// The scenario itself; it panics if the claim is false.
    pub run: fn(),
}

/// A scenario that cannot be written yet. It is listed, and never counted as passed.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Missing {
    pub name: &'static str,
    /// The feature that banger lacks.
    pub feature: &'static str,
}

impl Scenario {
    /// Makes a scenario that may run beside any other.
    #[must_use]
    pub const fn pure(name: &'static str, seconds: u32, proves: &'static str, run: fn()) -> Self {
        Self { name, class: Class::Pure, proves, need: None, seconds, run }
    }

    /// Makes a scenario of the chain that shares a repository.
    #[must_use]
    pub const fn repodir(name: &'static str, seconds: u32, proves: &'static str, run: fn()) -> Self {
        Self { name, class: Class::Repodir, proves, need: None, seconds, run }
    }

    /// Makes a scenario that runs alone.
    #[must_use]
    pub const fn global(name: &'static str, seconds: u32, proves: &'static str, run: fn()) -> Self {
        Self { name, class: Class::Global, proves, need: None, seconds, run }
    }

    /// Adds a requirement for the host.
    #[must_use]
    pub const fn needs(mut self, need: Need) -> Self {
        self.need = Some(need);
        self
    }
}

impl Class {
    /// Returns the requirement's name.
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
    /// Returns why this host does not meet the requirement; `None` if it does.
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
