//! Which VM is meant: a name, an id, or the beginning of one id only.

use banger_model::VmName;
use banger_store::{StoreError, VmRow};

use super::VmError;

/// Returns the row that is meant. A name wins over an id, a whole id over a beginning.
pub(super) fn resolve(rows: Vec<VmRow>, reference: &str) -> Result<VmRow, VmError> {
    let not_found = || VmError::NotFound { reference: reference.to_owned() };
    let exact = rows
        .iter()
        .position(|row| row.name.as_str() == reference)
        .or_else(|| rows.iter().position(|row| row.id.as_str() == reference));
    if let Some(index) = exact {
        return rows.into_iter().nth(index).ok_or_else(not_found);
    }
    if reference.is_empty() {
        return Err(not_found());
    }
    let mut matching: Vec<VmRow> =
        rows.into_iter().filter(|row| row.id.as_str().starts_with(reference)).collect();
    if matching.len() > 1 {
        let ids = matching.iter().map(|row| row.id.to_string()).collect();
        return Err(VmError::Ambiguous { reference: reference.to_owned(), ids });
    }
    matching.pop().ok_or_else(not_found)
}

/// Returns the name when no VM has it: the early answer; the store's own refusal decides a race.
pub(super) fn refuse_taken(rows: &[VmRow], name: &VmName) -> Result<VmName, VmError> {
    if rows.iter().any(|row| row.name == *name) {
        return Err(VmError::Store(StoreError::NameTaken { name: name.clone() }));
    }
    Ok(name.clone())
}
