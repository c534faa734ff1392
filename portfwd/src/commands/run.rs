//! `run`.

use anyhow::{Context, Result};

use crate::cli::{Global, Run};
use crate::config::{Config, Mode};
use crate::daemon::{Daemon, Options, Signals};
use crate::error::usage;
use crate::rule::Rule;

/// Forwards until the end of the process.
pub(super) fn run(global: &Global, run: Run) -> Result<()> {
    let options = options(global, run)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(async {
        let signals = Signals::new()?;
        Daemon::start(options).await?.serve(signals).await
    })
}

/// What is known before anything is opened; every mistake in it is a mistake of usage.
fn options(global: &Global, run: Run) -> Result<Options> {
    let config = match run.config {
        Some(path) => {
            let config = Config::read(&path)?;
            Some((path, config))
        }
        None => None,
    };
    let configured = config.as_ref().map(|(_, config)| config);
    let interface = global
        .interface
        .clone()
        .or_else(|| configured.and_then(|config| config.interface.clone()))
        .ok_or_else(|| {
            usage(
                "no interface is named: add -i IFACE, or `interface` to the config file".to_owned(),
            )
        })?;
    let rules: Vec<Rule> = run
        .rules
        .into_iter()
        .map(|rule| Rule {
            snat: run.snat,
            ..rule
        })
        .collect();
    if rules.is_empty() && config.is_none() {
        tracing::warn!("no rule yet: add one with `portfwd add RULE`");
    }
    let options = Options {
        mode: run
            .mode
            .or(configured.and_then(|config| config.mode))
            .unwrap_or(Mode::Auto),
        interface,
        rules,
        config,
        persist: run.persist,
        verbosity: global.verbose,
        state_dir: global.state_dir.clone(),
        pin_dir: global.pin_dir.clone(),
    };
    let configured = options.config.as_ref().map(|(_, config)| config);
    options
        .rules_with(configured)
        .map_err(|error| usage(error.to_string()))?;
    Ok(options)
}
