//! How an instance ends: Ctrl-C, `--persist`, `detach`.

use anyhow::Result;
use xtask::lab::Signal;

use crate::lab_support::{RULE, SOON, Site};

#[test]
fn either_signal_takes_everything_off() -> Result<()> {
    let site = Site::new()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for mode in ["auto", "generic", "tc"] {
            let daemon = site.run(&["--mode", mode, RULE])?;
            assert_eq!(site.get(81)?, "B");
            daemon.signal(signal)?;
            assert!(daemon.wait(SOON)?.success(), "{}", daemon.stderr());
            site.nothing_left()?;
            assert!(site.get(81).is_err(), "A refuses again");
        }
    }
    Ok(())
}

#[test]
fn what_persists_is_detached_or_taken_over() -> Result<()> {
    let site = Site::new()?;
    for mode in ["native", "tc"] {
        let rule = "81/tcp=192.168.1.32:8080";
        let run = ["--persist", "--mode", mode, rule];
        let daemon = site.run(&run)?;
        let mut open = site.connect(81, site.lab.b(), 8080)?;
        open.talk()?;
        daemon.signal(Signal::SIGTERM)?;
        assert!(daemon.wait(SOON)?.success(), "{}", daemon.stderr());
        open.talk()?;
        site.portfwd(&["flush"])?.refuses(4, &["eth0"])?;
        let before = site.json(&["conns", "-o", "json"])?;

        let daemon = site.run(&run)?;
        open.talk()?;
        let after = site.json(&["conns", "-o", "json"])?;
        let packets = |flows: &serde_json::Value| flows["flows"][0]["packets_to_target"].as_u64();
        assert!(packets(&after) > packets(&before), "{before} {after}");
        daemon.signal(Signal::SIGTERM)?;
        daemon.wait(SOON)?;
        open.talk()?;

        site.ok(&["detach"])?;
        site.nothing_left()?;
        site.portfwd(&["detach"])?
            .refuses(4, &["nothing is attached"])?;
    }
    Ok(())
}

#[test]
fn detach_ends_a_daemon() -> Result<()> {
    let site = Site::new()?;
    for more in [&[][..], &["--persist"]] {
        let daemon = site.run(&[more, &[RULE]].concat())?;
        assert_eq!(site.get(81)?, "B");
        site.ok(&["detach", "-i", "eth0"])?;
        assert!(daemon.wait(SOON)?.success(), "{}", daemon.stderr());
        site.nothing_left()?;
        assert!(site.get(81).is_err(), "A refuses again");
    }
    Ok(())
}
