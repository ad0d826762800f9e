//! Events as clients see them.

use banger_api::EventView;
use banger_store::EventRow;

use crate::clock::time_text;

/// Returns an event.
pub(in crate::http) fn event(row: EventRow) -> EventView {
    let EventRow { cursor, at_ms, event } = row;
    EventView {
        cursor,
        at: time_text(at_ms),
        kind: event.kind,
        name: event.name,
        vm_id: event.vm_id,
        op_id: event.op_id,
        value: event.value,
        message: event.message,
    }
}
