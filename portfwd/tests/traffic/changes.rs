//! What changes while portfwd runs, and what it says of it.

use anyhow::{Result, ensure};

use crate::setup::{MODES, Setup, TO_B, TO_B2, until};

#[test]
fn a_rule_without_an_address_follows_those_of_the_interface() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        setup.file("index.html", 100)?;
        let daemon = setup.run(&["--mode", mode, "81/tcp=192.168.1.32:80"])?;
        let fetch = |address: &str| {
            let url = format!("http://{address}:81/index.html");
            setup
                .lab
                .client()
                .run("curl", ["-sS", "--fail", "--max-time", "5", &url])
        };
        fetch("192.168.1.34")?;
        setup
            .lab
            .a()
            .run("ip", ["address", "add", "192.168.1.40/24", "dev", "eth0"])?;
        until("the new address to be forwarded", || {
            Ok(fetch("192.168.1.40").is_ok())
        })?;
        setup
            .lab
            .a()
            .run("ip", ["address", "del", "192.168.1.40/24", "dev", "eth0"])?;
        until("the old address to be gone", || {
            Ok(!setup
                .output(&["maps", "rules_v4"])?
                .contains("192.168.1.40"))
        })?;
        fetch("192.168.1.34")?;
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn a_route_that_goes_and_comes_is_followed_and_drops_are_named() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        setup.file("index.html", 100)?;
        let daemon = setup.run(&["-v", "--mode", mode, TO_B2])?;
        setup.fetch(82, "index.html")?;
        ensure!(
            !daemon.stderr().contains("drop"),
            "{mode}: {}",
            daemon.stderr()
        );

        setup.lab.a().run("ip", ["route", "del", "default"])?;
        until("the route to be missed", || {
            Ok(setup.output(&["list"])?.contains("(no_route)"))
        })?;
        let url = "http://192.168.1.34:82/index.html";
        let refused = setup
            .lab
            .client()
            .run("curl", ["-sS", "--max-time", "1", url]);
        ensure!(refused.is_err(), "{mode}: forwarded without a route");
        let drops = setup.json(&["stats"])?["drops"]["no_route"].as_u64();
        ensure!(
            drops > Some(0),
            "{mode}: {drops:?} drops for want of a route"
        );
        until("the diagnostics to name the drop", || {
            let stderr = daemon.stderr();
            Ok(stderr.contains("> 192.168.1.34:82 proto 6 flags 2: drop no_route"))
        })?;

        setup
            .lab
            .a()
            .run("ip", ["route", "add", "default", "via", "192.168.1.1"])?;
        until("the route to be back", || {
            Ok(setup.fetch(82, "index.html").is_ok())
        })?;
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn an_interface_that_is_created_again_is_taken_up_again() -> Result<()> {
    let setup = Setup::new()?;
    setup.file("index.html", 100)?;
    // In TC mode, which needs nothing of the new veth's other end.
    let daemon = setup.run(&["--mode", "tc", TO_B])?;
    setup.fetch(81, "index.html")?;
    let lab = &setup.lab;
    lab.a().run("ip", ["link", "del", "dev", "eth0"])?;
    until("the daemon to notice", || {
        Ok(daemon.stderr().contains("there is no interface"))
    })?;
    let pair = ["link", "add", "eth0", "type", "veth", "peer", "name", "a"];
    lab.a().run(
        "ip",
        [&pair[..], &["netns", lab.switch().namespace()]].concat(),
    )?;
    lab.switch()
        .run("ip", ["link", "set", "dev", "a", "master", "br0", "up"])?;
    lab.a()
        .run("ip", ["address", "add", "192.168.1.34/24", "dev", "eth0"])?;
    lab.a().run("ip", ["link", "set", "dev", "eth0", "up"])?;
    lab.a()
        .run("ip", ["route", "add", "default", "via", "192.168.1.1"])?;
    // It has another MAC address, of which the neighbours learn in their own time.
    for host in [lab.client(), lab.b()] {
        host.run("ip", ["neigh", "flush", "dev", "eth0"])?;
    }
    until("the daemon to be back", || {
        Ok(daemon.stderr().contains("is there again"))
    })?;
    setup.fetch(81, "index.html")?;
    setup.stop(&daemon)
}
