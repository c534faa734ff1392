//! `add`, `del`, `flush`, `list`.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::lab_support::{RULE, Site};

/// The names of the rules, in the order of `list`.
fn names(site: &Site) -> Result<Vec<String>> {
    let list = site.json(&["list", "--json"])?;
    let rules = list["rules"].as_array().context("rules")?;
    let name = |rule: &Value| rule["name"].as_str().map(str::to_owned);
    rules
        .iter()
        .map(|rule| name(rule).context("name"))
        .collect()
}

#[test]
fn rules_come_and_go() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&[])?;
    assert!(site.get(81).is_err(), "nothing is forwarded yet");
    assert_eq!(names(&site)?, [""; 0]);

    assert!(site.ok(&["add", RULE])?.contains("81-tcp"));
    site.ok(&["add", "82/tcp=10.0.0.5:80", "--name", "far"])?;
    site.ok(&["add", "83/tcp=192.168.1.32:80", "-i", "eth0"])?;
    assert_eq!(names(&site)?, ["81-tcp", "83-tcp", "far"]);
    assert_eq!(
        [site.get(81)?, site.get(82)?, site.get(83)?],
        ["B", "B2", "B"]
    );

    // A name that is taken, and one that is taken but was not asked for.
    let taken = ["add", "84/tcp=10.0.0.5:80", "--name", "far"];
    site.portfwd(&taken)?.refuses(1, &["`far`"])?;
    site.ok(&["add", "85/tcp=10.0.0.5:80", "--name", "86-tcp"])?;
    site.ok(&["add", "86/tcp=10.0.0.5:80"])?;
    assert!(names(&site)?.contains(&"86-tcp-2".to_owned()));

    site.ok(&["del", "far"])?;
    assert!(site.get(82).is_err(), "deleted by its name");
    site.ok(&["del", "83/tcp=192.168.1.32:80"])?;
    assert!(site.get(83).is_err(), "deleted by its text");
    assert_eq!(site.get(81)?, "B");
    site.portfwd(&["del", "far"])?.refuses(3, &["`far`"])?;

    // What was deleted can be added again, under its name too.
    site.ok(&["add", "82/tcp=192.168.1.32:80", "--name", "far"])?;
    assert_eq!(site.get(82)?, "B");

    site.ok(&["flush"])?;
    assert_eq!(names(&site)?, [""; 0]);
    for port in [81, 82, 85, 86] {
        assert!(site.get(port).is_err(), "{port} was flushed");
    }
    site.ok(&["flush"])?;
    site.ok(&["add", RULE])?;
    assert_eq!(site.get(81)?, "B");
    Ok(())
}

#[test]
fn open_connections_outlive_their_rule() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&["81/tcp=192.168.1.32:8080", "82/tcp=10.0.0.5:8080"])?;
    let mut near = site.connect(81, site.lab.b(), 8080)?;
    let mut far = site.connect(82, site.lab.b2(), 8080)?;
    near.talk()?;
    site.ok(&["del", "81-tcp"])?;
    near.talk()?;
    site.ok(&["flush"])?;
    near.talk()?;
    far.talk()
}

#[test]
fn list_counts_the_traffic() -> Result<()> {
    let site = Site::new()?;
    let udp = "192.168.1.34:53-54/udp+tcp=10.0.0.5:1053-1054";
    let _daemon = site.run(&[RULE, udp])?;
    assert_eq!(site.get(81)?, "B");
    assert_eq!(site.get(81)?, "B");
    let list = site.json(&["list", "--json"])?;
    let [names, web] = &list["rules"].as_array().context("rules")?[..] else {
        panic!("two rules: {list}");
    };
    assert_eq!(web["name"], "81-tcp");
    assert_eq!(web["protocols"], json!(["tcp"]));
    assert_eq!(web["listen"], "192.168.1.34:81/tcp");
    let target = json!({
        "address": "192.168.1.32", "port": 80,
        "state": "reachable", "next_hop": "192.168.1.32"
    });
    assert_eq!(web["targets"], json!([target]));
    assert_eq!(web["snat"], "auto");
    assert_eq!(web["flows_total"], 2);
    for count in ["packets_to_target", "packets_to_client"] {
        assert!(web[count].as_u64() >= Some(8), "{count}: {web}");
    }
    for count in ["bytes_to_target", "bytes_to_client"] {
        assert!(web[count].as_u64() >= Some(400), "{count}: {web}");
    }
    assert!(web["flows_active"].as_u64() <= Some(2), "{web}");
    assert_eq!(names["protocols"], json!(["udp", "tcp"]));
    assert_eq!(names["targets"][0]["port"], 1053);
    assert_eq!(names["flows_total"], 0);

    let table = site.ok(&["list"])?;
    let mut lines = table.lines();
    let header: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let titles = ["NAME", "LISTEN", "TARGET", "ACTIVE", "PACKETS", "BYTES"];
    assert_eq!(header, titles);
    let row = lines.find(|line| line.starts_with("81-tcp "));
    let row: Vec<&str> = row.context("a row")?.split_whitespace().collect();
    assert_eq!(
        row[..3],
        ["81-tcp", "192.168.1.34:81/tcp", "192.168.1.32:80"]
    );
    assert!(table.contains("192.168.1.34:53-54/udp+tcp"), "{table}");
    assert!(table.contains("10.0.0.5:1053-1054"), "{table}");
    Ok(())
}
