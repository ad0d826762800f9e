//! Memory that this process no longer needs.

/// Gives freed memory back to the host. The allocator of glibc keeps what was freed below something that is still in use:
/// after a large piece of work that is most of it.
#[expect(unsafe_code, reason = "the C library has no other door to its allocator")]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
