//! `reload` and SIGHUP.

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::lab::{Signal, wait_until};

use crate::lab_support::{SOON, Site};

/// A rule of a config file.
fn forward(name: &str, port: u16, target: &str) -> String {
    format!("[[forward]]\nname = \"{name}\"\nlisten = \"{port}/tcp\"\nto = [\"{target}\"]\n")
}

/// The one flow of a rule.
fn flow(site: &Site, rule: &str) -> Result<Value> {
    let flows = site.json(&["conns", "--rule", rule, "-o", "json"])?;
    let flow = flows["flows"].get(0).cloned();
    flow.with_context(|| format!("a flow of {rule}: {flows}"))
}

#[test]
fn only_what_changed_changes() -> Result<()> {
    let site = Site::new()?;
    let start = [
        forward("stays", 81, "192.168.1.32:8080"),
        forward("goes", 82, "192.168.1.32:8081"),
        forward("changes", 83, "192.168.1.32:80"),
    ];
    let file = site.config(&start.concat())?;
    let _daemon = site.run(&["--config", &file, "90/tcp=192.168.1.32:80"])?;
    let mut stays = site.connect(81, site.lab.b(), 8080)?;
    let mut goes = site.connect(82, site.lab.b(), 8081)?;
    stays.talk()?;
    goes.talk()?;
    assert_eq!(site.get(83)?, "B");
    site.ok(&["add", "91/tcp=192.168.1.32:80"])?;
    let before = flow(&site, "stays")?;

    let next = [
        forward("stays", 81, "192.168.1.32:8080"),
        forward("changes", 83, "10.0.0.5:80"),
        forward("new", 84, "10.0.0.5:80"),
    ];
    site.config(&next.concat())?;
    assert!(site.ok(&["reload"])?.contains(&file));

    let after = flow(&site, "stays")?;
    for count in ["packets_to_target", "packets_to_client"] {
        assert!(after[count].as_u64() >= before[count].as_u64(), "{after}");
    }
    assert_eq!(after["client"], before["client"]);
    assert_eq!(after["snat"], before["snat"]);
    stays.talk()?;
    let later = flow(&site, "stays")?;
    assert!(later["packets_to_target"].as_u64() > after["packets_to_target"].as_u64());
    // The connection of a rule that is gone goes on; a new one is not accepted.
    goes.talk()?;
    assert!(site.get(82).is_err(), "the rule is gone");
    assert_eq!(site.get(83)?, "B2", "the rule has a new target");
    assert_eq!(site.get(84)?, "B2", "the rule is new");
    assert_eq!(site.get(90)?, "B", "rules of the command line stay");
    assert!(site.get(91).is_err(), "added rules go");
    let list = site.json(&["list", "--json"])?;
    let rules = list["rules"].as_array().context("rules")?;
    let of = |name: &str| rules.iter().find(|rule| rule["name"] == name);
    assert_eq!(of("stays").context("stays")?["flows_total"], 1);
    assert!(of("goes").is_none(), "{list}");
    Ok(())
}

#[test]
fn a_hangup_reloads() -> Result<()> {
    let site = Site::new()?;
    let file = site.config(&forward("web", 81, "192.168.1.32:80"))?;
    let daemon = site.run(&["--config", &file])?;
    assert_eq!(site.get(81)?, "B");
    site.config(&forward("web", 81, "10.0.0.5:80"))?;
    daemon.signal(Signal::SIGHUP)?;
    wait_until("the new rule", SOON, || {
        let list = site.json(&["list", "--json"]).unwrap_or_default();
        list["rules"][0]["targets"][0]["address"] == "10.0.0.5"
    })?;
    assert_eq!(site.get(81)?, "B2");
    Ok(())
}
