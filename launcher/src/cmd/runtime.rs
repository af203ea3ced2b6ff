//! The runtime, for verbs that talk to somebody. Those that only read files start in a tenth of
//! the time without one.

use std::time::Duration;

use anyhow::Context as _;

/// Tasks that are left at the end have this long to close their connections.
const DRAIN: Duration = Duration::from_millis(100);
/// Reading, sorting and decrypting output is the most that is done at once.
const THREADS_MAX: usize = 4;

/// Runs a verb to its end.
pub(super) fn in_runtime(verb: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(THREADS_MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(verb);
    runtime.shutdown_timeout(DRAIN);
    code
}
