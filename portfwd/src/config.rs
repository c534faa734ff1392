//! The config file: TOML, checked as a whole before anything of it is used.

mod forms;
mod timeouts;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use portfwd_common::PortRange;
use serde::Deserialize;
use toml::Spanned;

use crate::error::Exit;
use crate::interface;
use crate::rule::{Part, Rule, RuleError, Snat, Written, name_and_check, parse_ports};
pub use timeouts::Timeouts;

/// Flows at most, in either tier: a flow takes about 300 bytes of kernel memory.
const FLOWS: std::ops::RangeInclusive<u32> = 1..=16 * 1024 * 1024;

/// How the programs are to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Native XDP with TC behind it; TC alone where the driver has no native XDP
    #[default]
    Auto,
    /// XDP in the driver, or not at all
    Native,
    /// XDP in the generic hook, which every interface has; slower than TC
    Generic,
    /// TC alone, which keeps the kernel's GRO and GSO
    Tc,
}

/// What a config file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The interface.
    pub interface: Option<String>,
    /// How to attach.
    pub mode: Option<Mode>,
    /// Conntrack's sizes and timeouts.
    pub conntrack: Conntrack,
    /// Source ports to claim from: one range or two.
    pub snat_ports: Option<Vec<PortRange>>,
    /// The rules; those without a name have none yet.
    pub rules: Vec<Rule>,
}

/// The table `[conntrack]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// Established flows at most.
    pub max_flows: Option<u32>,
    /// Half-open flows at most.
    pub max_half_open: Option<u32>,
    /// When idle flows end.
    pub timeouts: Timeouts,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    interface: Option<Spanned<String>>,
    mode: Option<Mode>,
    conntrack: ConntrackTable,
    snat: SnatTable,
    forward: Vec<Spanned<Forward>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConntrackTable {
    max_flows: Option<Spanned<u32>>,
    max_half_open: Option<Spanned<u32>>,
    tcp_syn_sent: Option<Spanned<String>>,
    tcp_syn_recv: Option<Spanned<String>>,
    tcp_established: Option<Spanned<String>>,
    tcp_fin_wait: Option<Spanned<String>>,
    tcp_close_wait: Option<Spanned<String>>,
    tcp_last_ack: Option<Spanned<String>>,
    tcp_time_wait: Option<Spanned<String>>,
    tcp_close: Option<Spanned<String>>,
    udp: Option<Spanned<String>>,
    udp_assured: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SnatTable {
    ports: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forward {
    name: Option<Spanned<String>>,
    listen: Spanned<String>,
    to: Vec<Spanned<To>>,
    snat: Option<Spanned<SnatText>>,
}

/// A target, as a string or as a table.
#[derive(Debug)]
struct To(String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetTable {
    address: String,
}

/// A source address, or a list of them.
#[derive(Debug)]
struct SnatText(String);

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names file, line and column, with a caret under what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the config file {}", path.display()))?;
        Self::parse(&text)
            .map_err(|error| Exit::Usage.error(format!("{}: {error}", path.display())))
    }

    /// Checks a file's text.
    ///
    /// # Errors
    /// Names line and column, with a caret under what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        check(file).map_err(|(span, message)| anyhow!(point_at(text, span.start, &message)))
    }
}

/// An error and where in the file it is.
type At<T> = Result<T, (std::ops::Range<usize>, String)>;

fn check(file: File) -> At<Config> {
    let places: Vec<_> = file.forward.iter().map(Spanned::span).collect();
    let rules: Vec<Rule> = file
        .forward
        .into_iter()
        .map(check_forward)
        .collect::<Result<_, _>>()?;
    // Rules without a name keep none: rules from elsewhere may come before them.
    name_and_check(rules.clone()).map_err(|error| {
        (
            places.get(error.index).cloned().unwrap_or_default(),
            error.to_string(),
        )
    })?;
    Ok(Config {
        interface: file.interface.map(check_interface).transpose()?,
        mode: file.mode,
        conntrack: check_conntrack(&file.conntrack)?,
        snat_ports: file.snat.ports.map(check_ports).transpose()?,
        rules,
    })
}

fn check_interface(name: Spanned<String>) -> At<String> {
    interface::parse_name(name.as_ref()).map_err(|error| (name.span(), error.to_string()))
}

fn check_forward(forward: Spanned<Forward>) -> At<Rule> {
    let whole = forward.span();
    let forward = forward.into_inner();
    let snat = match &forward.snat {
        None => Snat::Auto,
        Some(snat) => snat
            .as_ref()
            .0
            .parse()
            .map_err(|error: RuleError| (snat.span(), error.to_string()))?,
    };
    let written = Written {
        name: forward.name.as_ref().map_or("", |name| name.as_ref()),
        listen: forward.listen.as_ref(),
        to: forward.to.iter().map(|to| to.as_ref().0.as_str()).collect(),
        snat,
    };
    written.check().map_err(|error| {
        let span = match error.part {
            Part::Name => forward.name.as_ref().map(Spanned::span),
            Part::Listen => Some(forward.listen.span()),
            Part::Target(index) => forward.to.get(index).map(Spanned::span),
            Part::Snat => forward.snat.as_ref().map(Spanned::span),
        };
        (span.unwrap_or(whole), error.to_string())
    })
}

fn check_conntrack(table: &ConntrackTable) -> At<Conntrack> {
    let flows = |flows: &Option<Spanned<u32>>| match flows {
        Some(flows) if !FLOWS.contains(flows.as_ref()) => Err((
            flows.span(),
            format!(
                "{} flows: write a number from {} to {}",
                flows.as_ref(),
                FLOWS.start(),
                FLOWS.end()
            ),
        )),
        flows => Ok(flows.as_ref().map(|flows| *flows.as_ref())),
    };
    Ok(Conntrack {
        max_flows: flows(&table.max_flows)?,
        max_half_open: flows(&table.max_half_open)?,
        timeouts: timeouts::check(table)?,
    })
}

fn check_ports(ports: Spanned<String>) -> At<Vec<PortRange>> {
    let ranges: Result<Vec<PortRange>, _> = ports
        .as_ref()
        .split(',')
        .map(|range| parse_ports(range.trim()))
        .collect();
    match ranges {
        Err(error) => Err((ports.span(), error.to_string())),
        Ok(ranges) if ranges.len() > 2 => Err((
            ports.span(),
            format!("{} ranges: one or two can be used", ranges.len()),
        )),
        Ok(ranges) if ranges.len() == 2 && ranges[0].last >= ranges[1].first => Err((
            ports.span(),
            "the second range must lie above the first".to_owned(),
        )),
        Ok(ranges) => Ok(ranges),
    }
}

/// Line, column, the line itself and a caret, as the TOML parser shows its own errors.
fn point_at(text: &str, offset: usize, message: &str) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line_number = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[line_start..].chars().count() + 1;
    let line = text[line_start..].lines().next().unwrap_or_default();
    let margin = " ".repeat(line_number.to_string().len());
    let indent = " ".repeat(column - 1);
    format!(
        "line {line_number}, column {column}\n{margin} |\n{line_number} | {line}\n{margin} | {indent}^\n{message}"
    )
}

#[cfg(test)]
mod tests;
