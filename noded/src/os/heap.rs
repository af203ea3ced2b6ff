//! The allocator's own memory (malloc_trim(3)).

/// Gives free heap pages back to the kernel, which a large launch leaves behind.
pub fn trim() {
    // SAFETY: malloc_trim(3) only looks at the allocator's own lists.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
