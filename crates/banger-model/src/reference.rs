//! Which VM is meant by what somebody typed: its name, its ID, or the beginning of one ID only.

use serde::{Deserialize, Serialize};

use crate::name::{VmId, VmName};

/// What somebody typed to name a VM. Any text is one; a text that no VM can have names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = r"^[a-z0-9-]{1,63}$"))]
pub struct VmRef(String);

/// The reason why a reference means no VM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum VmRefError {
    #[error("there is no VM `{typed}`")]
    Missing { typed: VmRef },
    #[error("`{typed}` matches several VMs: {}", list(names))]
    Ambiguous { typed: VmRef, names: Vec<VmName> },
}

fn list(names: &[VmName]) -> String {
    names.iter().map(VmName::as_str).collect::<Vec<_>>().join(", ")
}

impl VmRef {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the VM that is meant. A name wins over an ID, and a whole ID over the beginning of another.
    ///
    /// # Errors
    /// [`VmRefError`], with the names of all VMs that the text could mean.
    pub fn find<'a, T>(
        &self,
        vms: &'a [T],
        of: impl Fn(&T) -> (&VmName, &VmId),
    ) -> Result<&'a T, VmRefError> {
        let typed = self.as_str();
        let by_name = vms.iter().find(|vm| of(vm).0.as_str() == typed);
        if let Some(exact) = by_name.or_else(|| vms.iter().find(|vm| of(vm).1.as_str() == typed)) {
            return Ok(exact);
        }
        let begins = |vm: &&T| !typed.is_empty() && of(vm).1.as_str().starts_with(typed);
        let matching: Vec<_> = vms.iter().filter(begins).collect();
        match matching.as_slice() {
            [] => Err(VmRefError::Missing { typed: self.clone() }),
            [one] => Ok(one),
            several => Err(VmRefError::Ambiguous {
                typed: self.clone(),
                names: several.iter().map(|vm| of(vm).0.clone()).collect(),
            }),
        }
    }
}

impl From<&str> for VmRef {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&VmId> for VmRef {
    fn from(id: &VmId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl From<String> for VmRef {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for VmRef {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vm(name: &str, id: &str) -> (VmName, VmId) {
        (name.parse().unwrap(), id.parse().unwrap())
    }

    fn find<'a>(typed: &str, vms: &'a [(VmName, VmId)]) -> Result<&'a str, VmRefError> {
        VmRef::from(typed).find(vms, |(name, id)| (name, id)).map(|(name, _)| name.as_str())
    }

    #[test]
    fn a_name_wins_over_an_id_and_a_whole_id_over_a_beginning() {
        let id = |start: &str| format!("{start:0<16}");
        let vms = [vm("dev", &id("aa11")), vm("test", &id("ab22")), vm("aa", &id("cc33"))];
        assert_eq!(find("test", &vms), Ok("test"));
        assert_eq!(find("aa1", &vms), Ok("dev"));
        assert_eq!(find(&id("ab22"), &vms), Ok("test"));
        assert_eq!(find("aa", &vms), Ok("aa"));
        assert_eq!(find("nope", &vms).unwrap_err().to_string(), "there is no VM `nope`");
        assert_eq!(find("a", &vms).unwrap_err().to_string(), "`a` matches several VMs: dev, test");
    }

    #[test]
    fn nothing_names_no_vm_even_if_there_is_only_one() {
        let vms = [vm("dev", "00000000000000aa")];
        assert!(matches!(find("", &vms), Err(VmRefError::Missing { .. })));
    }

    proptest! {
        #[test]
        fn every_vm_is_found_by_its_name_and_by_its_id(ids in proptest::collection::btree_set("[0-9a-f]{16}", 1..8)) {
            let vms: Vec<_> = ids.iter().enumerate().map(|(n, id)| vm(&format!("vm-{n}"), id)).collect();
            for (number, id) in ids.iter().enumerate() {
                let name = format!("vm-{number}");
                prop_assert_eq!(find(&name, &vms), Ok(name.as_str()));
                prop_assert_eq!(find(id, &vms), Ok(name.as_str()));
            }
        }
    }
}
