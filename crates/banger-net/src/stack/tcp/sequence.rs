//! Numbers of bytes, which run over.
//! Source: RFC 9293, 3.4.

/// Returns how many bytes `later` is behind `earlier`; negative if it is before.
pub(super) const fn distance(earlier: u32, later: u32) -> i32 {
    later.wrapping_sub(earlier).cast_signed()
}

/// Adds a number of bytes. It is always less than 2 GiB.
pub(super) fn plus(sequence: u32, bytes: usize) -> u32 {
    sequence.wrapping_add(u32::try_from(bytes).unwrap_or_default())
}

/// Returns how many bytes lie between, none if `later` is before `earlier`.
pub(super) fn between(earlier: u32, later: u32) -> usize {
    usize::try_from(distance(earlier, later)).unwrap_or_default()
}
