//! The program noded: reads its command line, serves, ends.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use noded::cli::{Cli, Command};
use noded::serve::{ServeError, serve};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => match serve(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                match error {
                    ServeError::Root => ExitCode::from(77),
                    ServeError::Busy { .. } => ExitCode::from(75),
                    ServeError::Network { .. }
                    | ServeError::Paths(_)
                    | ServeError::Ledger(_)
                    | ServeError::Trust { .. }
                    | ServeError::Io { .. }
                    | ServeError::Transport(_) => ExitCode::FAILURE,
                }
            }
        },
        Command::Spawner => match spawner_socket() {
            Ok(listener) => noded::spawner::run(listener),
            Err(error) => {
                complain(&error);
                ExitCode::FAILURE
            }
        },
    }
}

/// The listening socket that noded gave as standard input, which becomes /dev/null.
fn spawner_socket() -> std::io::Result<OwnedFd> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    Ok(listener)
}

fn complain(error: &dyn std::error::Error) {
    use std::io::Write;
    let mut text = format!("noded: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}
