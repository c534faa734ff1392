//! Reasons not to start, and commands without an instance.

use anyhow::Result;

use crate::lab_support::{BINARY, Outcome, RULE, SOON, Site};
use crate::other_xdp::OtherXdp;

#[test]
fn an_interface_that_does_not_exist() -> Result<()> {
    let site = Site::new()?;
    for mode in ["auto", "tc"] {
        let outcome = site.portfwd(&["run", "-i", "eth7", "--mode", mode, RULE])?;
        outcome.refuses(1, &["eth7"])?;
        site.nothing_left()?;
    }
    site.portfwd(&["run", "-i", "../eth0", RULE])?
        .refuses(2, &["../eth0"])?;
    site.portfwd(&["run", RULE])?.refuses(2, &["-i"])?;
    site.nothing_left()
}

#[test]
fn capabilities_that_are_missing() -> Result<()> {
    let site = Site::new()?;
    let without = |dropped: &str, arguments: &[&str]| {
        let mut command = site.lab.portfwd("setpriv");
        command
            .arg(format!("--bounding-set={dropped}"))
            .arg(format!("--inh-caps={dropped}"))
            .arg(BINARY)
            .args(arguments);
        Outcome::of(command)
    };
    let run = ["run", "-i", "eth0", RULE];
    let every = ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"];
    without("-all", &run)?.refuses(5, &every)?;
    site.nothing_left()?;
    without("-net_admin", &run)?.refuses(5, &["CAP_NET_ADMIN"])?;
    site.nothing_left()?;
    // Whether pinned maps may be read without them is the kernel's choice; where it refuses,
    // that is said the same way.
    let _daemon = site.run(&[RULE])?;
    for read in ["list", "conns", "stats", "status", "maps"] {
        let outcome = without("-all", &[read])?;
        if outcome.code != 0 {
            outcome.refuses(5, &["CAP_"])?;
        }
    }
    assert_eq!(site.get(81)?, "B");
    Ok(())
}

#[test]
fn another_xdp_program_on_the_interface() -> Result<()> {
    let site = Site::new()?;
    let other = OtherXdp::attach(site.lab.a(), "eth0")?;
    let id = OtherXdp::id(site.lab.a(), "eth0")?;
    for mode in ["auto", "native", "generic"] {
        let outcome = site.portfwd(&["run", "-i", "eth0", "--mode", mode, RULE])?;
        outcome.refuses(1, &["eth0", &format!("id {id}"), "--mode tc"])?;
        assert_eq!(OtherXdp::id(site.lab.a(), "eth0")?, id, "it stays");
    }
    // TC runs behind it, and takes nothing of it away.
    let daemon = site.run(&["--mode", "tc", RULE])?;
    assert_eq!(site.get(81)?, "B");
    assert_eq!(site.json(&["status", "--json"])?["mode"], "tc");
    site.ok(&["detach"])?;
    daemon.wait(SOON)?;
    assert_eq!(OtherXdp::id(site.lab.a(), "eth0")?, id, "it stays");
    drop(other);
    site.nothing_left()
}

#[test]
fn a_second_instance_on_the_same_interface() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.run(&[RULE, "83/tcp=192.168.1.32:8080"])?;
    let mut open = site.connect(83, site.lab.b(), 8080)?;
    let before = site.json(&["status", "--json"])?;
    for mode in ["auto", "tc"] {
        let other = "192.168.1.34:82/tcp=10.0.0.5:80";
        let outcome = site.portfwd(&["run", "-i", "eth0", "--mode", mode, other])?;
        outcome.refuses(1, &["eth0", &daemon.id().to_string()])?;
    }
    // The same maps under another state dir are the same instance.
    let elsewhere = site.lab.dir().join("elsewhere").display().to_string();
    site.portfwd(&["run", "-i", "eth0", "--state-dir", &elsewhere, RULE])?
        .refuses(1, &["portfwd/eth0", "--state-dir"])?;
    let after = site.json(&["status", "--json"])?;
    assert_eq!(before["programs"], after["programs"]);
    assert_eq!(after["daemon_pid"], daemon.id());
    assert_eq!(after["rules"], 2);
    open.talk()?;
    let seen = open.seen_by_the_target()?;
    assert_eq!(seen.ip(), site.lab.a().address());
    assert_ne!(open.client_address()?.ip(), seen.ip());
    assert_eq!(site.get(81)?, "B");
    site.ok(&["add", "82/tcp=10.0.0.5:80"])?;
    assert_eq!(site.get(82)?, "B2");
    Ok(())
}

#[test]
fn commands_without_any_instance() -> Result<()> {
    let site = Site::new()?;
    for command in [
        &["list"][..],
        &["list", "--json"],
        &["conns"],
        &["conns", "count"],
        &["conns", "flush"],
        &["stats"],
        &["status"],
        &["maps"],
        &["maps", "flows_v4"],
        &["add", RULE],
        &["del", "81-tcp"],
        &["flush"],
        &["reload"],
        &["detach"],
    ] {
        site.portfwd(command)?.refuses(4, &["portfwd run"])?;
        let named = [command, &["-i", "eth0"]].concat();
        site.portfwd(&named)?.refuses(4, &["eth0"])?;
    }
    site.nothing_left()
}
