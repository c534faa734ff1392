//! Rules that are refused change nothing.

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::lab::wait_until;

use crate::lab_support::{RULE, SOON, Site};

/// Rules that are wrong by themselves, and what the error must say.
const BAD: &[(&str, &str)] = &[
    ("", "="),
    ("81=", "protocol"),
    ("81/tcp", "="),
    ("81/tcp=", "target"),
    ("0/tcp=192.168.1.32:80", "`0`"),
    ("81/tcp=192.168.1.32:0", "`0`"),
    ("65536/tcp=192.168.1.32:80", "65536"),
    ("81/tcp=192.168.1.32:65536", "65536"),
    ("81/sctp=192.168.1.32:80", "sctp"),
    ("81=192.168.1.32:80", "protocol"),
    ("192.168.1.34:81/tcp=192.168.1.34:81", "192.168.1.34:81"),
    ("8000-8099/tcp=10.0.0.5:9000-9098", "8000-8099"),
    ("8099-8000/tcp=10.0.0.5:9099-9000", "8099-8000"),
    ("192.168.1.34:81/tcp=[2001:db8::2]:80", "2001:db8::2"),
    ("192.168.1.34.5:81/tcp=192.168.1.32:80", "192.168.1.34.5"),
    ("81/tcp=b.example:80", "b.example"),
    ("81/tcp=192.168.1.32:80\n82/tcp=192.168.1.32:80", "80\\n82"),
];

/// `list --json` once B is known to be reachable, so that nothing changes by itself.
fn settled(site: &Site) -> Result<Value> {
    let mut list = Value::Null;
    wait_until("B's next hop", SOON, || {
        list = site.json(&["list", "--json"]).unwrap_or_default();
        list["rules"][0]["targets"][0]["state"] == "reachable"
    })
    .with_context(|| list.to_string())?;
    Ok(list)
}

#[test]
fn bad_rules_do_not_start_anything() -> Result<()> {
    let site = Site::new()?;
    for (rule, says) in BAD {
        let outcome = site.portfwd(&["run", "-i", "eth0", RULE, rule])?;
        outcome.refuses(2, &[says]).context(*rule)?;
    }
    let twice = "81/tcp=192.168.1.32:8080";
    let outcome = site.portfwd(&["run", "-i", "eth0", RULE, twice])?;
    outcome.refuses(2, &[RULE, twice])?;
    site.nothing_left()
}

#[test]
fn bad_rules_are_not_added() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&[RULE])?;
    let before = settled(&site)?;
    for (rule, says) in BAD {
        let outcome = site.portfwd(&["add", rule])?;
        outcome.refuses(2, &[says]).context(*rule)?;
    }
    for name in ["", "a b", "a/b", "x\ny"] {
        let outcome = site.portfwd(&["add", "90/tcp=10.0.0.5:80", "--name", name])?;
        outcome.refuses(2, &["name"])?;
    }
    assert_eq!(site.json(&["list", "--json"])?, before);
    assert_eq!(site.get(81)?, "B");
    Ok(())
}

#[test]
fn a_running_instance_refuses_what_does_not_fit() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&[RULE])?;
    let before = settled(&site)?;
    for taken in [
        RULE,
        "81/tcp=10.0.0.5:80",
        "192.168.1.34:81/udp+tcp=10.0.0.5:80",
        "80-90/tcp=10.0.0.5:80-90",
    ] {
        let outcome = site.portfwd(&["add", taken])?;
        outcome.refuses(1, &["81", "`81-tcp`"]).context(taken)?;
    }
    let named = ["add", "90/tcp=10.0.0.5:80", "--name", "81-tcp"];
    site.portfwd(&named)?.refuses(1, &["`81-tcp`"])?;
    let itself = ["add", "90/tcp=192.168.1.34:80"];
    site.portfwd(&itself)?.refuses(1, &["192.168.1.34"])?;
    for unknown in ["82-tcp", "192.168.1.34:82/tcp=192.168.1.32:80", "nonsense"] {
        site.portfwd(&["del", unknown])?.refuses(3, &[unknown])?;
    }
    assert_eq!(site.json(&["list", "--json"])?, before);
    assert_eq!(site.get(81)?, "B");
    Ok(())
}

#[test]
fn a_target_that_is_this_host_itself() -> Result<()> {
    let site = Site::new()?;
    for mode in ["auto", "tc"] {
        for rule in [
            "81/tcp=192.168.1.34:80",
            "192.168.1.34:81/tcp=192.168.1.34:80",
        ] {
            let outcome = site.portfwd(&["run", "-i", "eth0", "--mode", mode, rule])?;
            outcome.refuses(1, &["192.168.1.34", "eth0"])?;
            site.nothing_left()?;
        }
    }
    // Nor is a rule that is fine put in beside it.
    let outcome = site.portfwd(&["run", "-i", "eth0", RULE, "82/tcp=192.168.1.34:80"])?;
    outcome.refuses(1, &["192.168.1.34", "82"])?;
    site.nothing_left()
}
