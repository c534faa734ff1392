//! User space of portfwd: the daemon and the command line.

pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod error;
pub mod interface;
pub mod kernel;
pub mod net;
pub mod rule;
pub mod show;
pub mod state;
