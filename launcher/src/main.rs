//! The program `a2arun`: parse, build the runtime, run, drain.

use std::process::ExitCode;
use std::time::Duration;

use a2arun::cli::parse;
use a2arun::cmd::{Context, execute, report};
use a2arun::{print, say};
use a2arun_rt::logging::{FILTER_VARIABLE, Sink, init};

/// Tasks that are left at the end have this long to close their connections.
const DRAIN: Duration = Duration::from_millis(100);
/// Reading, sorting and decrypting output is the most that is done at once.
const THREADS_MAX: usize = 4;

fn main() -> ExitCode {
    let search = std::env::var_os("PATH");
    let cli = match parse(std::env::args_os(), search.as_deref()) {
        Ok(cli) => cli,
        Err(refusal) => {
            if refusal.code == 0 {
                print(&refusal.text);
            } else {
                say(&format!("error: {}", refusal.text));
            }
            return ExitCode::from(refusal.code);
        }
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let (text, code) = report(&error);
            say(&text);
            ExitCode::from(code)
        }
    }
}

fn run(cli: a2arun::cli::Cli) -> anyhow::Result<u8> {
    // Tracing is for us; what users need to know is said by the commands.
    if let Ok(filter) = std::env::var(FILTER_VARIABLE)
        && let Some(complaint) = init(Sink::Stderr, Some(&filter), "warn")?
    {
        say(&complaint);
    }
    let context = Context::read()?;
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(THREADS_MAX));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let code = runtime.block_on(execute(cli, &context));
    runtime.shutdown_timeout(DRAIN);
    code
}
