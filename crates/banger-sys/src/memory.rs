//! Memory that this process no longer needs.

/// Returns freed memory to the host. The allocator of glibc keeps memory that was freed below an allocation still in use,
/// which is most of it after a large piece of work.
#[expect(unsafe_code, reason = "the C library has no other door to its allocator")]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
