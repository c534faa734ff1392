//! A lab with web servers on both targets and portfwd on A.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::lab::{Lab, LabOptions, Process, Signal, wait_until};

/// The modes that every sentence about traffic is tested in.
pub const MODES: [&str; 2] = ["native", "tc"];

/// B through A.
pub const TO_B: &str = "192.168.1.34:81/tcp=192.168.1.32:80";
/// B2, behind the router, through A.
pub const TO_B2: &str = "192.168.1.34:82/tcp=10.0.0.5:80";

/// How long something that should be quick may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// A lab, two web servers and the files that they serve.
pub struct Setup {
    pub lab: Lab,
    pub www: PathBuf,
}

impl Setup {
    /// The servers listen on port 80 of B and B2.
    pub fn new() -> Result<Self> {
        Self::with(LabOptions::default())
    }

    /// The same in a lab with other links.
    pub fn with(options: LabOptions) -> Result<Self> {
        let lab = Lab::with(options)?;
        let www = lab.dir().join("www");
        fs::create_dir(&www)?;
        for host in [lab.b(), lab.b2()] {
            lab.web_server(host, 80, &www)?;
        }
        Ok(Self { lab, www })
    }

    /// A file of `len` bytes that repeat nowhere soon, for both servers.
    pub fn file(&self, name: &str, len: usize) -> Result<Vec<u8>> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_ne_bytes());
        }
        bytes.truncate(len);
        fs::write(self.www.join(name), &bytes)?;
        Ok(bytes)
    }

    /// Starts portfwd on A and waits until traffic flows.
    pub fn run(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.portfwd();
        command.args(["run", "-i", "eth0"]).args(arguments);
        let daemon = self.lab.a().spawn(command)?;
        daemon
            .wait_for_line("ready", SOON)
            .with_context(|| format!("portfwd did not start: {}", daemon.stderr()))?;
        Ok(daemon)
    }

    /// A portfwd command on A.
    pub fn portfwd(&self) -> Command {
        self.lab.portfwd(env!("CARGO_BIN_EXE_portfwd"))
    }

    /// What a portfwd command prints.
    pub fn output(&self, arguments: &[&str]) -> Result<String> {
        let output: Output = self.portfwd().args(arguments).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "portfwd {arguments:?}: {error}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a portfwd command prints with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.output(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} printed {text}"))
    }

    /// Fetches a file with curl from the client.
    pub fn fetch(&self, port: u16, name: &str) -> Result<Vec<u8>> {
        let mut curl = self.lab.client().command("curl");
        curl.args(["-sS", "--fail", "--max-time", "60"]);
        let output = curl
            .arg(format!("http://192.168.1.34:{port}/{name}"))
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl on port {port}: {error}");
        Ok(output.stdout)
    }

    /// Ends the daemon as Ctrl-C does, and checks that nothing is left.
    pub fn stop(&self, daemon: &Process) -> Result<()> {
        daemon.signal(Signal::SIGINT)?;
        let status = daemon.wait(SOON)?;
        ensure!(
            status.success(),
            "portfwd ended with {status}: {}",
            daemon.stderr()
        );
        self.nothing_is_left()
    }

    /// No XDP program, no TC program and no pin on A.
    pub fn nothing_is_left(&self) -> Result<()> {
        let link = self.lab.a().run("ip", ["-d", "link", "show", "eth0"])?;
        ensure!(!link.contains("xdp"), "an XDP program is left: {link}");
        let pins = self.lab.bpffs().join("portfwd/eth0");
        ensure!(!pins.exists(), "{} is left", pins.display());
        Ok(())
    }
}

/// The address of a listen port on A.
pub fn listen(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, 34], port))
}

/// Waits for a condition that may fail to be read.
pub fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let mut last = None;
    let waited = wait_until(what, SOON, || match holds() {
        Ok(holds) => holds,
        Err(error) => {
            last = Some(error);
            false
        }
    });
    match (waited, last) {
        (Err(waited), Some(error)) => Err(waited.context(format!("{error:#}"))),
        (waited, _) => waited,
    }
}
