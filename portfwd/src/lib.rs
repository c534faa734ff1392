//! User space of portfwd: the daemon and the command line.

pub mod cli;
pub mod config;
pub mod error;
pub mod kernel;
pub mod net;
pub mod rule;
pub mod show;
