//! Config files that are refused, on start and on reload.

use anyhow::{Context, Result, ensure};
use xtask::lab::{Signal, wait_until};

use crate::lab_support::{Outcome, RULE, SOON, Site};

const GOOD: &str = r#"interface = "eth0"

[[forward]]
name = "web"
listen = "192.168.1.34:81/tcp"
to = ["192.168.1.32:80"]
"#;

/// Files that are wrong, the line that is, and what the error must say.
const BAD: &[(&str, usize, &str)] = &[
    ("interface = \"eth0\"\ninterfaces = 1\n", 2, "interfaces"),
    ("mode = \"fast\"\n", 1, "fast"),
    ("[conntrack]\nudp = \"soon\"\n", 2, "soon"),
    ("[[forward]]\nlisten = 81/tcp\n", 2, ""),
    (
        "[[forward]]\nlisten = \"81/tcp\"\nto = [\"192.168.1.32:65536\"]\n",
        3,
        "65536",
    ),
    (
        "[[forward]]\nlisten = \"81/tcp\"\nto = [\"192.168.1.32:80\"]\n\n\
         [[forward]]\nlisten = \"81/tcp\"\nto = [\"10.0.0.5:80\"]\n",
        5,
        "81",
    ),
];

/// Fails unless the error shows file, line and a caret.
fn points_at(outcome: &Outcome, file: &str, line: usize, says: &str) -> Result<()> {
    ensure!(outcome.code == 2, "{outcome:?}");
    let shown = &outcome.stderr;
    ensure!(shown.starts_with("error: "), "{shown}");
    for part in [file, says, &format!("line {line}, column "), "^"] {
        ensure!(shown.contains(part), "`{part}` expected: {shown}");
    }
    Ok(())
}

#[test]
fn on_start() -> Result<()> {
    let site = Site::new()?;
    for (text, line, says) in BAD {
        let file = site.config(text)?;
        let outcome = site.portfwd(&["run", "-i", "eth0", "--config", &file])?;
        points_at(&outcome, &file, *line, says).context(*text)?;
    }
    let missing = site.lab.dir().join("missing.toml").display().to_string();
    let outcome = site.portfwd(&["run", "-i", "eth0", "--config", &missing])?;
    outcome.refuses(1, &[&missing])?;
    // A rule of the file that takes the port of one on the command line.
    let file = site.config(GOOD)?;
    let outcome = site.portfwd(&["run", "-i", "eth0", "--config", &file, RULE])?;
    outcome.refuses(2, &["81", "`web`"])?;
    site.nothing_left()
}

#[test]
fn on_reload() -> Result<()> {
    let site = Site::new()?;
    let file = site.config(GOOD)?;
    let daemon = site.run(&["--config", &file])?;
    assert_eq!(site.get(81)?, "B");
    let before = site.json(&["list", "--json"])?;
    for (text, line, says) in BAD {
        site.config(text)?;
        let outcome = site.portfwd(&["reload"])?;
        points_at(&outcome, &file, *line, says).context(*text)?;
    }
    site.config(&GOOD.replace("192.168.1.32", "192.168.1.34"))?;
    site.portfwd(&["reload"])?.refuses(1, &["192.168.1.34"])?;
    std::fs::remove_file(&file)?;
    site.portfwd(&["reload"])?.refuses(1, &[&file])?;
    daemon.signal(Signal::SIGHUP)?;
    wait_until("what the daemon says of it", SOON, || {
        daemon.stderr().contains(&file)
    })?;
    let after = site.json(&["list", "--json"])?;
    assert_eq!(after["rules"][0]["name"], "web");
    assert_eq!(
        after["rules"][0]["flows_total"],
        before["rules"][0]["flows_total"]
    );
    assert_eq!(site.get(81)?, "B");
    Ok(())
}

#[test]
fn a_reload_of_nothing() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.run(&[RULE])?;
    site.portfwd(&["reload"])?.refuses(1, &["--config"])?;
    assert_eq!(site.get(81)?, "B");
    Ok(())
}
