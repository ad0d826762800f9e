//! Reads fields of on-disk structures by the offsets of the format's documentation. Reads outside a structure return `None`.

/// An on-disk structure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn slice(self, offset: usize, length: usize) -> Option<&'b [u8]> {
        self.0.get(offset..offset.checked_add(length)?)
    }

    /// Returns the bytes from an offset on.
    pub(super) fn from(self, offset: usize) -> Option<&'b [u8]> {
        self.0.get(offset..)
    }

    pub(super) fn u8(self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    pub(super) fn u16(self, offset: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.slice(offset, 2)?.first_chunk()?))
    }

    pub(super) fn u32(self, offset: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.slice(offset, 4)?.first_chunk()?))
    }

    /// Returns a number whose halves are stored apart.
    pub(super) fn u64_of(self, low: usize, high: usize) -> Option<u64> {
        Some(u64::from(self.u32(high)?) << 32 | u64::from(self.u32(low)?))
    }

    /// Returns a 48-bit number whose parts are stored apart.
    pub(super) fn u48_of(self, low: usize, high: usize) -> Option<u64> {
        Some(u64::from(self.u16(high)?) << 32 | u64::from(self.u32(low)?))
    }

    /// Returns a 32-bit number whose halves are stored apart.
    pub(super) fn u32_of(self, low: usize, high: usize) -> Option<u32> {
        Some(u32::from(self.u16(high)?) << 16 | u32::from(self.u16(low)?))
    }
}
