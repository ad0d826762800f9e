//! Which VMs are meant by what was typed: resolved from one list, so that all of a command's targets are looked up at
//! the same moment.

use banger_api::VmView;
use banger_model::{VmRef, VmRefError};

/// A thing that was typed, and the VM that it means.
pub type Target<'a> = (&'a str, Result<&'a VmView, VmRefError>);

/// Returns the VM of each thing typed, in that order; a VM that was typed twice comes once.
#[must_use]
pub fn resolve<'a>(typed: &'a [String], vms: &'a [VmView]) -> Vec<Target<'a>> {
    let mut targets: Vec<Target<'a>> = Vec::new();
    for text in typed {
        let found = VmRef::from(text.as_str()).find(vms, |vm| (&vm.name, &vm.id));
        let is_known = targets.iter().any(|(earlier, other)| match (other, &found) {
            (Ok(other), Ok(vm)) => other.id == vm.id,
            (Err(_), Err(_)) => earlier == text,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        });
        if !is_known {
            targets.push((text, found));
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(name: &str, id: &str) -> VmView {
        serde_json::from_value(serde_json::json!({
            "id": id, "name": name, "state": "running", "image": "i", "kernel": "k", "vcpus": 1,
            "memory_mib": 512, "disk_bytes": 1 << 30, "created_at": "2026-01-01T00:00:00Z"
        }))
        .unwrap()
    }

    fn names(targets: &[Target<'_>]) -> Vec<String> {
        let tell = |(typed, found): &Target<'_>| match found {
            Ok(vm) => vm.name.to_string(),
            Err(error) => format!("{typed}: {error}"),
        };
        targets.iter().map(tell).collect()
    }

    #[test]
    fn names_ids_and_beginnings_of_ids_are_found_once_each_in_the_order_typed() {
        let vms = [vm("dev", "aa11"), vm("test", "ab22"), vm("aa", "cc33")];
        let typed = ["test", "aa1", "ab22", "nope", "a", "aa", "nope", "dev"].map(String::from);
        insta::assert_snapshot!(names(&resolve(&typed, &vms)).join("\n"), @r"
        test
        dev
        nope: there is no VM `nope`
        a: `a` matches several VMs: dev, test
        aa
        ");
    }
}
