//! The command line, as clap sees it.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use portfwd_common::{Protocol, State};

use crate::config::Mode;
use crate::error::{Exit, Quoted, report, usage};
use crate::interface;
use crate::rule::{Rule, Snat, parse_name};
use crate::show::FlowFilter;

/// Forward ports of this host to other hosts, with XDP and TC
///
/// Connections to an address and port of this host go on to another host, in its own subnet or
/// behind a gateway. No iptables rule and no sysctl is needed.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Reads the command line; where it is wrong, or asks for help, says so and gives the exit code.
///
/// # Errors
/// The exit code to end with.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        if let (ErrorKind::ValueValidation, Some(reason)) = (error.kind(), error.source()) {
            return report(&usage(in_one_line(&error, &reason.to_string())));
        }
        // Nothing can be done where not even this can be printed.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
    })
}

/// What is wrong with a value, with the value and where it stands unless the reason names it.
fn in_one_line(error: &clap::Error, reason: &str) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let (value, place) = (
        text(ContextKind::InvalidValue),
        text(ContextKind::InvalidArg),
    );
    // Our own reasons quote what is wrong; the standard library's do not.
    if reason.contains('`') {
        reason.to_owned()
    } else {
        format!("{} cannot be {place}: {reason}", Quoted(value))
    }
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The interface; may be left out where one instance alone is there
    #[arg(short, long, global = true, value_name = "IFACE", value_parser = interface::parse_name)]
    pub interface: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: -v also shows new flows' first packets and drops, -vv every packet
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// How logs are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub log_format: LogFormat,
    /// Where the socket and the lock are
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTFWD_STATE_DIR",
        default_value = "/run/portfwd"
    )]
    pub state_dir: PathBuf,
    /// Where maps and links are pinned, on a BPF file system
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTFWD_PIN_DIR",
        default_value = "/sys/fs/bpf/portfwd"
    )]
    pub pin_dir: PathBuf,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Forward until Ctrl-C
    #[command(after_help = "Example:\n  portfwd run -i eth0 192.168.1.34:81/tcp=192.168.1.32:80")]
    Run(Run),
    /// Add a rule to the running instance
    Add(Add),
    /// Delete a rule of the running instance; its open connections go on
    #[command(visible_alias = "delete")]
    Del {
        /// The rule's name, or the rule as it was given
        #[arg(value_name = "NAME|RULE")]
        which: String,
    },
    /// Delete every rule; open connections go on
    Flush,
    /// Read the config file again
    Reload,
    /// Show rules, targets, flows and traffic
    List,
    /// Show, count or end the flows
    Conns(Conns),
    /// Show totals, and drops by reason
    Stats {
        /// Show again and again, every second or so long
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = parse_interval)]
        watch: Option<std::time::Duration>,
    },
    /// Show what runs
    Status,
    /// Show the maps, or one map's entries
    Maps {
        /// A map's name
        name: Option<String>,
        /// Show keys and values as bytes
        #[arg(long, requires = "name")]
        raw: bool,
    },
    /// Take everything off the interface, whoever left it there
    Detach,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// Rules: [ADDRESS:]PORT[-PORT]/PROTOCOL=TARGET:PORT[-PORT]
    #[arg(value_name = "RULE")]
    pub rules: Vec<Rule>,
    /// A config file; its rules come beside those given here
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to attach [default: auto]
    #[arg(long)]
    pub mode: Option<Mode>,
    /// Go on forwarding after the end
    #[arg(long)]
    pub persist: bool,
    /// The source address toward the targets of the rules given here
    #[arg(long, value_name = "auto|ADDRESS", default_value = "auto")]
    pub snat: Snat,
}

/// `add`
#[derive(Debug, Args)]
pub struct Add {
    /// The rule: [ADDRESS:]PORT[-PORT]/PROTOCOL=TARGET:PORT[-PORT]
    pub rule: Rule,
    /// A name for it; otherwise it is made from port and protocol
    #[arg(long, value_parser = parse_name)]
    pub name: Option<String>,
    /// The source address toward the target
    #[arg(long, value_name = "auto|ADDRESS", default_value = "auto")]
    pub snat: Snat,
}

/// `conns`
#[derive(Debug, Args)]
pub struct Conns {
    /// What to do
    #[arg(default_value = "list")]
    pub action: ConnsAction,
    /// Only flows of this rule
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Only flows of this client
    #[arg(long, value_name = "ADDRESS")]
    pub src: Option<IpAddr>,
    /// Only flows to this listen address or target
    #[arg(long, value_name = "ADDRESS")]
    pub dst: Option<IpAddr>,
    /// Only flows of this protocol
    #[arg(long, value_parser = parse_protocol, value_name = "tcp|udp")]
    pub proto: Option<Protocol>,
    /// Only flows in this state, as ESTABLISHED
    #[arg(long, value_parser = parse_state)]
    pub state: Option<State>,
    /// How to show them
    #[arg(short, long, default_value = "table")]
    pub output: ConnsOutput,
}

/// What to do with flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConnsAction {
    /// Show them
    List,
    /// Count them
    Count,
    /// End them
    Flush,
}

/// How to show flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConnsOutput {
    /// A table
    Table,
    /// JSON
    Json,
    /// The format of the conntrack tool
    Conntrack,
}

impl Conns {
    /// Which flows are meant.
    #[must_use]
    pub fn filter(&self) -> FlowFilter {
        FlowFilter {
            rule: self.rule.clone(),
            source: self.src,
            destination: self.dst,
            protocol: self.proto.map(|protocol| protocol.name().to_owned()),
            state: self.state.map(|state| state.name().to_owned()),
        }
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err("write tcp or udp".to_owned()),
    }
}

fn parse_state(text: &str) -> Result<State, String> {
    let states = State::ALL.iter();
    let found = states
        .clone()
        .find(|state| state.name().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = states.map(|state| state.name()).collect();
        format!("states are {}", names.join(", "))
    })
}

fn parse_interval(text: &str) -> Result<std::time::Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval >= std::time::Duration::from_millis(100) => Ok(interval),
        Ok(_) => Err("write 100ms or more".to_owned()),
        Err(error) => Err(format!("{error}: write a time as in 1s")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_fits_a_terminal() {
        let help = Cli::command().render_long_help().to_string();
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
    }
}
