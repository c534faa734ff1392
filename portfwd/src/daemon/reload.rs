//! Changes that users ask for while the daemon runs. Each is checked as a whole first.

use anyhow::Result;
use portfwd_common::{Event, Tier};

use super::Daemon;
use crate::config::Config;
use crate::error::{failure, no_such_rule};
use crate::rule::{self, Rule};
use crate::show::{FlowFilter, flow_view};
use crate::state::names;

impl Daemon {
    pub(super) async fn add(&mut self, rule: &Rule, name: Option<&str>) -> Result<String> {
        let mut rules = self.desired.rules.clone();
        let mut rule = rule.clone();
        rule.name = name.unwrap_or_default().to_owned();
        rules.push(rule);
        let rules = rule::name_and_check(rules)?;
        let added = rules
            .last()
            .map(|rule| format!("added {}", rule.name))
            .unwrap_or_default();
        self.install(rules).await?;
        tracing::info!("{added}");
        Ok(added)
    }

    pub(super) async fn delete(&mut self, which: &str) -> Result<String> {
        let matches = |rule: &Rule| rule.name == which || rule.is_written(which);
        let (gone, rules): (Vec<Rule>, Vec<Rule>) =
            self.desired.rules.iter().cloned().partition(matches);
        let Some(gone) = gone.first() else {
            return Err(no_such_rule(format!(
                "there is no rule `{which}`: `portfwd list` shows them"
            )));
        };
        self.install(rules).await?;
        let deleted = format!("deleted {}", gone.name);
        tracing::info!("{deleted}");
        Ok(deleted)
    }

    pub(super) async fn flush(&mut self) -> Result<String> {
        let count = self.desired.rules.len();
        self.install(Vec::new()).await?;
        let deleted = format!("deleted {count} rules");
        tracing::info!("{deleted}");
        Ok(deleted)
    }

    /// Reads the config file again: rules, timeouts and source ports. Rules from the command
    /// line stay; rules that were added since the start go.
    pub(super) async fn reload(&mut self) -> Result<String> {
        let Some((path, _)) = &self.options.config else {
            return Err(failure(
                "there is nothing to reload: this instance was started without --config".to_owned(),
            ));
        };
        let path = path.clone();
        let config = Config::read(&path)?;
        let rules = self.options.rules_with(Some(&config))?;
        let mut settings = self.settings;
        super::start::set_configurable(&mut settings, Some(&config))?;
        self.install(rules).await?;
        self.settings = settings;
        self.datapath.maps.set_settings(&self.settings)?;
        let count = self.desired.rules.len();
        self.options.config = Some((path.clone(), config));
        let reloaded = format!("reloaded {}: {count} rules", path.display());
        tracing::info!("{reloaded}");
        Ok(reloaded)
    }

    pub(super) async fn log_reload(&mut self) {
        sd_notify::notify(&[sd_notify::NotifyState::Reloading]).ok();
        if let Err(error) = self.reload().await {
            tracing::error!("reload: {error:#}; everything stays as it was");
        }
        sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
    }

    /// Ends the flows that match: both entries of each.
    pub(super) fn flush_flows(&mut self, filter: &FlowFilter) -> Result<String> {
        let maps = &mut self.datapath.maps;
        let names = names(&self.installed.rules);
        let mut meant = Vec::new();
        maps.each_flow(|tier, key, flow| {
            if filter.matches(&flow_view(key, flow, None, tier, &names, 0)) {
                meant.push((tier, *key, flow.other_key(key.protocol)));
            }
            Ok(())
        })?;
        let (mut established, mut half_open) = (0u64, 0u64);
        for (tier, forward, reply) in &meant {
            maps.remove_flow(*tier, reply)?;
            let removed = u64::from(maps.remove_flow(*tier, forward)?);
            match tier {
                Tier::Established => established += removed,
                Tier::HalfOpen => half_open += removed,
            }
        }
        maps.add_to_counter(Event::EstablishedFlushed.counter(), established)?;
        maps.add_to_counter(Event::HalfOpenFlushed.counter(), half_open)?;
        let ended = established + half_open;
        Ok(format!("ended {ended} flows"))
    }
}
