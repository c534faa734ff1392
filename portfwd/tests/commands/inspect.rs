//! `maps`, `stats`, `status`.

use anyhow::{Context, Result};
use xtask::lab::Signal;

use crate::lab_support::{RULE, SOON, Site};

const MAPS: [&str; 8] = [
    "settings",
    "rules_v4",
    "targets_v4",
    "flows_v4",
    "half_open_v4",
    "rule_info",
    "rule_counters",
    "counters",
];

#[test]
fn every_map() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&["192.168.1.34:81/tcp=192.168.1.32:8080"])?;
    let mut open = site.connect(81, site.lab.b(), 8080)?;
    open.talk()?;
    let document = site.json(&["maps", "--json"])?;
    let maps = document["maps"].as_array().context("maps")?;
    let table = site.ok(&["maps"])?;
    for name in MAPS {
        let map = maps.iter().find(|map| map["name"] == name);
        let map = map.with_context(|| format!("{name}: {document}"))?;
        let entries = map["entries"].as_u64().context("entries")?;
        assert!(map["max_entries"].as_u64() >= Some(entries), "{map}");
        let pin = map["pin"].as_str().context("pin")?;
        assert!(std::path::Path::new(pin).exists(), "{map}");
        assert!(table.contains(name), "{name}: {table}");

        let text = site.ok(&["maps", name])?;
        assert_eq!(text.lines().count() as u64, entries, "{name}: {text}");
        let decoded = site.json(&["maps", name, "--json"])?;
        assert_eq!(decoded["map"], name);
        let decoded = decoded["entries"].as_array().context("entries")?.len();
        assert_eq!(decoded as u64, entries, "{name}");
        let raw = site.ok(&["maps", name, "--raw"])?;
        assert_eq!(raw.lines().count() as u64, entries, "{name}: {raw}");
        let is_hex = |c: char| c.is_ascii_hexdigit() || c.is_whitespace();
        assert!(raw.chars().all(is_hex), "{name}: {raw}");
    }
    assert_eq!(maps.len(), MAPS.len(), "every map is tested here");
    // Both directions of the one flow, and the rule by its name.
    let flows = site.ok(&["maps", "flows_v4"])?;
    assert_eq!(flows.lines().count(), 2, "{flows}");
    assert!(flows.contains("192.168.1.32:8080"), "{flows}");
    assert!(site.ok(&["maps", "rule_info"])?.contains("81-tcp"));
    site.portfwd(&["maps", "flows_v7"])?
        .refuses(1, &["flows_v7", "flows_v4"])
}

#[test]
fn stats_sum_up() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&[RULE])?;
    assert_eq!(site.get(81)?, "B");
    assert_eq!(site.get(81)?, "B");
    site.lab
        .client()
        .run("curl", ["-sS", "--max-time", "5", "http://192.168.1.32/"])?;
    let stats = site.json(&["stats", "--json"])?;
    let list = site.json(&["list", "--json"])?;
    let rule = &list["rules"][0];
    assert_eq!(stats["packets"]["to_target"], rule["packets_to_target"]);
    assert_eq!(stats["packets"]["to_client"], rule["packets_to_client"]);
    assert_eq!(stats["flows"]["created"], 2);
    assert_eq!(stats["flows"]["evicted"], 0);
    assert_eq!(stats["flows"]["refused"], 0);
    assert_eq!(stats["flows"]["active"], rule["flows_active"]);
    for reasons in ["drops", "passes"] {
        let reasons = stats[reasons].as_object().context("reasons")?;
        assert!(!reasons.is_empty());
        assert!(reasons.values().all(serde_json::Value::is_u64));
    }
    for program in stats["programs"].as_array().context("programs")? {
        assert!(
            program["name"]
                .as_str()
                .is_some_and(|n| n.starts_with("portfwd_"))
        );
        assert!(program["run_count"].is_u64() && program["avg_ns"].is_u64());
    }
    let text = site.ok(&["stats"])?;
    for word in ["PACKETS", "FLOWS", "portfwd_xdp", "portfwd_tc"] {
        assert!(text.contains(word), "{text}");
    }
    Ok(())
}

#[test]
fn status_with_and_without_a_daemon() -> Result<()> {
    let site = Site::new()?;
    let file = site.config("")?;
    for (mode, programs) in [("native", 2), ("generic", 2), ("tc", 1)] {
        let daemon = site.run(&["--mode", mode, "--config", &file, RULE])?;
        assert_eq!(site.get(81)?, "B", "{mode}");
        let status = site.json(&["status", "--json"])?;
        assert_eq!(status["interface"], "eth0");
        assert_eq!(status["mode"], mode);
        assert_eq!(status["daemon_pid"], daemon.id());
        assert_eq!(status["config"], file.as_str());
        assert_eq!(status["rules"], 1);
        let ids = status["programs"].as_array().context("programs")?;
        assert_eq!(ids.len(), programs, "{status}");
        assert!(status["since_s"].as_u64() > Some(1_600_000_000), "{status}");
        assert!(status["uptime_s"].as_u64() < Some(600), "{status}");
        let text = site.ok(&["status"])?;
        for word in ["eth0", mode, &file, &daemon.id().to_string()] {
            assert!(text.contains(word), "{text}");
        }

        daemon.signal(Signal::SIGKILL)?;
        daemon.wait(SOON)?;
        let status = site.json(&["status", "--json"])?;
        assert!(status["daemon_pid"].is_null(), "{status}");
        assert_eq!(status["mode"], mode);
        assert!(site.ok(&["status"])?.contains("not running"));
        // Forwarding and reading go on; changing takes a daemon.
        assert_eq!(site.get(81)?, "B", "{mode}");
        for read in ["list", "conns", "stats", "maps"] {
            site.ok(&[read])?;
        }
        site.portfwd(&["add", "82/tcp=10.0.0.5:80"])?
            .refuses(4, &["eth0"])?;
        site.ok(&["detach"])?;
        site.nothing_left()?;
    }
    Ok(())
}
