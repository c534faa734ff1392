//! What is refused: the exit code, one line that names the thing, and nothing half done.

mod config;
#[path = "../lab_support/mod.rs"]
mod lab_support;
mod other_xdp;
mod rules;
mod start;
