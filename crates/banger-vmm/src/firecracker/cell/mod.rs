//! The cell: namespaces of its own in which Firecracker runs without root and sees nothing but its files.
//!
//! ```text
//! daemon ──▶ this program as `cell` ── user, mount, network, pid, ipc and uts namespaces
//!    ▲          └─▶ its sibling, first process of the pid namespace: taps, root of bound files ─▶ waits ─▶ firecracker
//!    │ pid                                                                                 ▲
//!    └─────────────────────────── machine.json is written, then: go ──────────────────────┘
//! ```
//! The sibling is the daemon's child (`CLONE_PARENT`), so nothing of ours stays beside Firecracker. It ends by itself when
//! the daemon goes away before it says go. Inside, Firecracker is an ordinary user without any capability.
//!
//! Where Firecracker is jailed ([`super::jail`]) there is no user namespace, and in place of the root of bound files the
//! sibling makes the jailer's chroot, then becomes the jailer, which becomes Firecracker.

mod enter;
mod identity;
mod inside;
mod jail;
mod join;
mod plan;
mod root;
mod tap;

pub(crate) use enter::run;
pub(super) use inside::*;
pub(crate) use join::run as join;
pub(super) use plan::*;
pub(super) use tap::NAME as TAP;
