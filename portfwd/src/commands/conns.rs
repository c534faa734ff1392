//! `conns`: reads the flow maps, with or without a daemon.

use std::io::{self, BufWriter, Write};

use anyhow::Result;

use super::{Target, monotonic_ns, print};
use crate::cli::{Conns, ConnsAction, ConnsOutput, Global};
use crate::kernel::Maps;
use crate::show::{
    FlowFilter, FlowView, SCHEMA, flow_view, write_conntrack, write_flow_json, write_flow_table,
};
use crate::state::{names, read_rules};

/// `conns list` and `conns count`
pub(super) fn conns(global: &Global, conns: &Conns) -> Result<()> {
    let maps = Target::find(global)?.maps()?;
    let filter = conns.filter();
    if conns.action == ConnsAction::Count {
        let mut count = 0u64;
        each_flow(&maps, &filter, |_| {
            count += 1;
            Ok(())
        })?;
        return if global.json {
            print(&format!(
                "{}\n",
                serde_json::json!({ "schema": SCHEMA, "count": count })
            ))
        } else {
            print(&format!("{count}\n"))
        };
    }
    let output = if global.json {
        ConnsOutput::Json
    } else {
        conns.output
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match output {
        ConnsOutput::Table => {
            write_flow_table(&mut out, None)?;
            each_flow(&maps, &filter, |flow| {
                write_flow_table(&mut out, Some(flow))
            })?;
        }
        ConnsOutput::Conntrack => {
            each_flow(&maps, &filter, |flow| write_conntrack(&mut out, flow))?;
        }
        ConnsOutput::Json => {
            write!(out, "{{\"schema\":{SCHEMA},\"flows\":[")?;
            let mut separator = "";
            each_flow(&maps, &filter, |flow| {
                out.write_all(separator.as_bytes())?;
                separator = ",";
                write_flow_json(&mut out, flow)
            })?;
            writeln!(out, "]}}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Calls `visit` with every flow that has not expired and that `filter` means.
pub(super) fn each_flow(
    maps: &Maps,
    filter: &FlowFilter,
    mut visit: impl FnMut(&FlowView) -> io::Result<()>,
) -> Result<()> {
    let names = names(&read_rules(maps)?);
    let now_ns = monotonic_ns();
    maps.each_flow(|tier, key, flow| {
        if flow.has_expired(now_ns) {
            return Ok(());
        }
        let reply = maps.flow(tier, &flow.other_key(key.protocol))?;
        let view = flow_view(key, flow, reply.as_ref(), tier, &names, now_ns);
        if filter.matches(&view) {
            visit(&view)?;
        }
        Ok(())
    })
}
