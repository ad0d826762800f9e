//! Scenarios that cannot be written before banger has the feature. They are listed and counted as missing; a scenario leaves
//! this list when its feature is added.

use banger_smoke::harness::Missing;

pub(crate) const MISSING: &[Missing] = &[
    missing("workspace_run", WORKSPACE),
    missing("workspace_dryrun", WORKSPACE),
    missing("workspace_full_copy", WORKSPACE),
    missing("workspace_export", WORKSPACE),
    missing("workspace_basecommit", WORKSPACE),
    missing("workspace_restart", WORKSPACE),
    missing("include_untracked", WORKSPACE),
    missing("bootstrap_precondition", WORKSPACE),
    missing("ssh_config", "command `ssh-config`"),
    missing("update_check", UPDATE),
    missing("update_to_unknown", UPDATE),
    missing("update_no_root", UPDATE),
    missing("update_dry_run", UPDATE),
    missing("update_keeps_vm_alive", UPDATE),
    missing("update_rollback_keeps_vm_alive", UPDATE),
];

const WORKSPACE: &str = "workspace transfer";
const UPDATE: &str = "self update";

const fn missing(name: &'static str, feature: &'static str) -> Missing {
    Missing { name, feature }
}
