//! `status`: what runs.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::SCHEMA;

/// One instance.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// Version of the document.
    pub schema: u32,
    /// The interface.
    pub interface: String,
    /// `native`, `generic` or `tc`.
    pub mode: String,
    /// The attached programs.
    pub programs: Vec<AttachedProgram>,
    /// The daemon's process, if one runs.
    pub daemon_pid: Option<u32>,
    /// Version of the daemon that runs, or ran last.
    pub version: Option<String>,
    /// The config file, if there is one.
    pub config: Option<PathBuf>,
    /// Since when it forwards, in seconds of the wall clock.
    pub since_s: u64,
    /// For how long, in seconds.
    pub uptime_s: u64,
    /// How many rules it has.
    pub rules: u64,
    /// Flows in conntrack that have not expired.
    pub flows_active: u64,
}

/// An attached program.
#[derive(Clone, Debug, Serialize)]
pub struct AttachedProgram {
    /// Its name.
    pub name: String,
    /// The kernel's id.
    pub id: u32,
}

impl StatusView {
    /// The version of the document.
    pub const SCHEMA: u32 = SCHEMA;

    /// As JSON.
    ///
    /// # Errors
    /// Never, in practice: the view holds nothing that JSON cannot.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// As lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let since = std::time::UNIX_EPOCH + Duration::from_secs(self.since_s);
        let daemon = match self.daemon_pid {
            Some(pid) => format!("running, process {pid}"),
            None => "not running; what is loaded forwards on".to_owned(),
        };
        let programs: Vec<String> = self
            .programs
            .iter()
            .map(|one| format!("{} (id {})", one.name, one.id))
            .collect();
        let config = match &self.config {
            Some(path) => path.display().to_string(),
            None => "none".to_owned(),
        };
        let mut text = String::new();
        for (title, value) in [
            ("interface", self.interface.clone()),
            ("mode", self.mode.clone()),
            ("programs", programs.join(", ")),
            ("daemon", daemon),
            ("config", config),
            (
                "since",
                humantime::format_rfc3339_seconds(since).to_string(),
            ),
            (
                "uptime",
                humantime::format_duration(Duration::from_secs(self.uptime_s)).to_string(),
            ),
            ("rules", self.rules.to_string()),
            ("flows", self.flows_active.to_string()),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<10} {value}", format!("{title}:"));
        }
        text
    }
}
