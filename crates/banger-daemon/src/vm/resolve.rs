//! Which VM is meant: a name, an id, or the beginning of one id only.

use banger_model::VmName;
use banger_store::{StoreError, VmRow};

use super::VmError;

/// Returns the row that is meant. A name wins over an id, a whole id over a beginning.
pub(super) fn resolve<'r>(rows: &'r [VmRow], reference: &str) -> Result<&'r VmRow, VmError> {
    let not_found = || VmError::NotFound { reference: reference.to_owned() };
    let by_name = rows.iter().find(|row| row.name.as_str() == reference);
    if let Some(exact) = by_name.or_else(|| rows.iter().find(|row| row.id.as_str() == reference)) {
        return Ok(exact);
    }
    if reference.is_empty() {
        return Err(not_found());
    }
    let matching: Vec<_> = rows.iter().filter(|row| row.id.as_str().starts_with(reference)).collect();
    match *matching.as_slice() {
        [] => Err(not_found()),
        [one] => Ok(one),
        _ => {
            let ids = matching.iter().map(|row| row.id.to_string()).collect();
            Err(VmError::Ambiguous { reference: reference.to_owned(), ids })
        }
    }
}

/// Returns the name when no VM has it: the early answer; the store's own refusal decides a race.
pub(super) fn refuse_taken(rows: &[VmRow], name: &VmName) -> Result<VmName, VmError> {
    if rows.iter().any(|row| row.name == *name) {
        return Err(VmError::Store(StoreError::NameTaken { name: name.clone() }));
    }
    Ok(name.clone())
}
