//! The allocator's own memory (malloc_trim(3)).

/// One arena for all threads: noded has few, and each arena of its own keeps what it frees
/// (mallopt(3)).
pub fn keep_small() {
    // SAFETY: mallopt(3) only sets parameters of the allocator, before any thread exists.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives free heap pages back to the kernel, which a large launch leaves behind.
pub fn trim() {
    // SAFETY: malloc_trim(3) only looks at the allocator's own lists.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
