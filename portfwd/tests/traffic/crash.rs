//! Forwarding does not depend on the daemon.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::lab::Signal;

use crate::setup::{MODES, SOON, Setup, TO_B, until};

fn flow(setup: &Setup) -> Result<Value> {
    let conns = setup.json(&["conns"])?;
    let flow = conns["flows"]
        .as_array()
        .and_then(|flows| flows.first())
        .cloned();
    flow.with_context(|| format!("no flow in {conns}"))
}

fn packets(flow: &Value) -> u64 {
    flow["packets_to_client"].as_u64().unwrap_or_default()
}

#[test]
fn a_download_survives_kill_9_and_the_next_run_adopts_its_flow() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        let file = setup.file("large", 100 << 20)?;
        let daemon = setup.run(&["--mode", mode, TO_B])?;
        let mut curl = setup.lab.client().command("curl");
        // Slow enough that the download is still under way when all is done.
        curl.args(["-sS", "--max-time", "120", "--limit-rate", "6M"]);
        curl.arg("http://192.168.1.34:81/large")
            .stdout(Stdio::piped());
        let download = curl.spawn()?;
        let reader = std::thread::spawn(move || download.wait_with_output());
        until("the download to be under way", || {
            Ok(packets(&flow(&setup)?) > 1000)
        })?;

        daemon.signal(Signal::SIGKILL)?;
        daemon.wait(SOON)?;
        let before = flow(&setup)?;
        until("traffic without a daemon", || {
            Ok(packets(&flow(&setup)?) > packets(&before) + 200)
        })?;
        let before = flow(&setup)?;
        let rules_before = setup.json(&["list"])?;
        assert_eq!(setup.json(&["status"])?["daemon_pid"], Value::Null);

        let daemon = setup.run(&["--mode", mode, TO_B])?;
        let after = flow(&setup)?;
        ensure!(
            packets(&after) >= packets(&before),
            "{mode}: the flow's counters restarted"
        );
        assert_eq!(after["client"], before["client"]);
        assert_eq!(after["snat"], before["snat"]);
        until("traffic with the next daemon", || {
            Ok(packets(&flow(&setup)?) > packets(&after) + 200)
        })?;
        let rules = setup.json(&["list"])?;
        let count = |list: &Value| list["rules"][0]["packets_to_client"].as_u64();
        ensure!(
            count(&rules) >= count(&rules_before),
            "{mode}: the rule's counters restarted"
        );
        assert_eq!(rules["rules"][0]["flows_total"], 1, "{mode}: {rules}");

        let output = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{mode}: the download broke: {error}"
        );
        ensure!(output.stdout == file, "{mode}: the download differs");
        setup.stop(&daemon)?;
    }
    Ok(())
}

#[test]
fn an_interrupt_in_the_middle_of_the_start_leaves_nothing() -> Result<()> {
    for mode in MODES {
        let setup = Setup::new()?;
        for made in ["", "v1", "v1/counters", "v1/tc_link"] {
            let mut command = setup.portfwd();
            command.args(["run", "-i", "eth0", "--mode", mode, TO_B]);
            let daemon = setup.lab.a().spawn(command)?;
            let path = setup.lab.bpffs().join("portfwd/eth0").join(made);
            until("the start to be under way", || Ok(path.exists()))?;
            setup
                .stop(&daemon)
                .with_context(|| format!("{mode}, interrupted once `{made}` was there"))?;
        }
    }
    Ok(())
}
