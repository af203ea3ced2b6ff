//! The harness of the end-to-end tests: the built binaries on one host or several, each test in
//! a folder of its own, and a look at what is left when it ends.
//!
//! It knows the product only from outside: its command line, its files, its processes.

pub mod bed;
pub mod http;
pub mod leftovers;
pub mod lines;
pub mod looks;
pub mod pages;
pub mod procs;
pub mod real_agents;
pub mod run;
pub mod storm;
pub mod wait;

pub use bed::Bed;
pub use run::{Head, Output};
pub use wait::{Poll, wait_for};
