//! Which VMs are meant by what was typed: resolved from one list, so that all of a command's targets are looked up at
//! the same moment.

use banger_api::VmView;

/// Why something typed means no VM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ResolveError {
    #[error("there is no VM `{typed}`")]
    Missing { typed: String },
    #[error("`{typed}` matches several VMs: {}", .names.join(", "))]
    Ambiguous { typed: String, names: Vec<String> },
}

/// A thing that was typed, and the VM that it means.
pub type Target<'a> = (&'a str, Result<&'a VmView, ResolveError>);

/// Returns the VM of each thing typed, in that order; a VM that was typed twice comes once.
#[must_use]
pub fn resolve<'a>(typed: &'a [String], vms: &'a [VmView]) -> Vec<Target<'a>> {
    let mut targets: Vec<Target<'a>> = Vec::new();
    for text in typed {
        let found = find(text, vms);
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

/// A name wins over an id, and a whole id over the beginning of another.
fn find<'a>(typed: &str, vms: &'a [VmView]) -> Result<&'a VmView, ResolveError> {
    let exact = vms.iter().find(|vm| vm.name.as_str() == typed);
    if let Some(vm) = exact.or_else(|| vms.iter().find(|vm| vm.id.as_str() == typed)) {
        return Ok(vm);
    }
    let beginning: Vec<_> = vms.iter().filter(|vm| vm.id.as_str().starts_with(typed)).collect();
    match beginning.as_slice() {
        [] => Err(ResolveError::Missing { typed: typed.to_owned() }),
        [vm] => Ok(vm),
        several => Err(ResolveError::Ambiguous {
            typed: typed.to_owned(),
            names: several.iter().map(|vm| vm.name.to_string()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn every_vm_is_found_by_its_name_and_by_its_id(ids in proptest::collection::btree_set("[0-9a-f]{16}", 1..8)) {
            let vms: Vec<_> = ids.iter().enumerate().map(|(n, id)| vm(&format!("vm-{n}"), id)).collect();
            for (number, id) in ids.iter().enumerate() {
                let typed = [format!("vm-{number}"), id.clone()];
                let targets = resolve(&typed, &vms);
                prop_assert_eq!(targets.len(), 1);
                prop_assert_eq!(names(&targets), vec![format!("vm-{number}")]);
            }
        }
    }
}
