//! All printing. stdout is data, stderr is talk; whole lines only; a reader that is slow holds
//! back these threads and nobody else.

mod data;
mod files;
mod logs;
mod printer;
mod report;
mod style;
mod table;
mod talk;

pub use data::{print, say};
pub(crate) use data::{print_json, print_line, print_piece};
pub(crate) use files::{FileWriter, Files};
pub(crate) use logs::{Activity, LogFormat, LogSink, Names};
pub(crate) use printer::{Printer, Sinks, Written};
pub(crate) use report::{cause_line, duration, why};
pub(crate) use style::Style;
pub(crate) use table::Table;
pub(crate) use talk::{Kept, Talk, Volume};
