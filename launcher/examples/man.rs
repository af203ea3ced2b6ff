//! Writes a manual page for the program and for each verb into a folder: `scripts/man`.

use std::path::PathBuf;

use a2arun::cli::Cli;
use clap::CommandFactory;

fn main() -> std::io::Result<()> {
    let folder =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/man"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
