//! The program `a2arun`: parse, run, report.

use std::process::ExitCode;

use a2arun::cli::parse;
use a2arun::cmd::{Context, execute, report};
use a2arun::{print, say};
use a2arun_rt::logging::{FILTER_VARIABLE, Sink, init};

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
    execute(cli, &Context::read()?)
}
