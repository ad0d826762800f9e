//! Builds on-disk structures byte by byte, with the offsets of the format's documentation.

/// An on-disk structure under construction. Fields are appended; gaps are zero.
#[derive(Debug, Default)]
pub(crate) struct Record {
    bytes: Vec<u8>,
}

impl Record {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Fills with zeros up to `offset`, where the next field belongs.
    pub(crate) fn at(&mut self, offset: usize) -> &mut Self {
        debug_assert!(self.bytes.len() <= offset, "a field at {offset:#x} would overlap the one before it");
        self.bytes.resize(offset, 0);
        self
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a big-endian number, as the journal uses them.
    pub(crate) fn be32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Overwrites two bytes that were appended before.
    pub(crate) fn patch_u16(&mut self, offset: usize, value: u16) {
        self.patch(offset, &value.to_le_bytes());
    }

    /// Overwrites four bytes that were appended before.
    pub(crate) fn patch_u32(&mut self, offset: usize, value: u32) {
        self.patch(offset, &value.to_le_bytes());
    }

    fn patch(&mut self, offset: usize, value: &[u8]) {
        let slot = self.bytes.get_mut(offset..offset.saturating_add(value.len()));
        debug_assert!(slot.is_some(), "a patch at {offset:#x} is past the end");
        if let Some(slot) = slot {
            slot.copy_from_slice(value);
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Returns the lower half.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are stored apart, by `high16`")]
pub(crate) fn low16(value: u32) -> u16 {
    value as u16
}

/// Returns the upper half.
pub(crate) fn high16(value: u32) -> u16 {
    (value >> 16) as u16
}

/// Returns the lower half.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are stored apart, by `high32`")]
pub(crate) fn low32(value: u64) -> u32 {
    value as u32
}

/// Returns the upper half.
pub(crate) fn high32(value: u64) -> u32 {
    (value >> 32) as u32
}

/// Returns a size in memory as a size on disk.
pub(crate) fn disk_len(len: usize) -> u64 {
    len as u64
}

/// Converts a number that fits by construction, or returns the largest one.
pub(crate) fn clamp16(value: usize) -> u16 {
    debug_assert!(u16::try_from(value).is_ok(), "{value} does not fit in 16 bits");
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Converts a number that fits by construction, or returns the largest one.
pub(crate) fn clamp32(value: u64) -> u32 {
    debug_assert!(u32::try_from(value).is_ok(), "{value} does not fit in 32 bits");
    u32::try_from(value).unwrap_or(u32::MAX)
}
