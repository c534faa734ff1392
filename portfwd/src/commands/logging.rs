//! Where notes go: stderr, as text or as JSON.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

use crate::cli::{Color, Global, LogFormat};

/// Sets up logging, for this program's own notes and for those of the datapath.
pub(super) fn init(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal(),
    };
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("portfwd", level)
        // The datapath's own diagnostics carry the object's name.
        .with_target("portfwd_ebpf", level);
    let builder = fmt::layer().with_writer(std::io::stderr).with_target(false);
    use tracing_subscriber::prelude::*;
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (in tests) keeps the first one's setting.
    match global.log_format {
        LogFormat::Human => registry.with(builder.with_ansi(color)).try_init().ok(),
        LogFormat::Json => registry.with(builder.json()).try_init().ok(),
    };
}
