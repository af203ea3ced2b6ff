//! `schema`: the JSON Schema of job files, for editors and for checks elsewhere.

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::spec::schema as job_schema;

use crate::cli::{OutputFormat, SchemaArgs};
use crate::output::{print_json, print_line};

pub(super) fn schema(args: &SchemaArgs) -> anyhow::Result<u8> {
    let schema = job_schema();
    match args.output.output {
        OutputFormat::Human | OutputFormat::Json => print_json(&schema)?,
        OutputFormat::Jsonl => print_line(&schema.to_string())?,
        OutputFormat::Quiet => {}
    }
    Ok(LauncherCode::Ok.code())
}
