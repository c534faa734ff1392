//! Commands that ask the daemon to change something.

use anyhow::Result;

use super::{Target, print};
use crate::cli::{Add, Global};
use crate::daemon::{Request, ask};
use crate::rule::Rule;
use crate::show::FlowFilter;

/// `add`
pub(super) fn add(global: &Global, add: Add) -> Result<()> {
    let rule = Rule {
        snat: add.snat,
        ..add.rule
    };
    tell(
        global,
        &Request::Add {
            rule,
            name: add.name,
        },
    )
}

/// `del`
pub(super) fn delete(global: &Global, which: String) -> Result<()> {
    tell(global, &Request::Delete { which })
}

/// `flush`
pub(super) fn flush(global: &Global) -> Result<()> {
    tell(global, &Request::Flush)
}

/// `reload`
pub(super) fn reload(global: &Global) -> Result<()> {
    tell(global, &Request::Reload)
}

/// `conns flush`
pub(super) fn flush_flows(global: &Global, filter: FlowFilter) -> Result<()> {
    tell(global, &Request::FlushFlows { filter })
}

fn tell(global: &Global, request: &Request) -> Result<()> {
    let target = Target::find(global)?;
    let done = ask(&global.state_dir, &target.interface, request)?;
    if global.json {
        print(&format!(
            "{}\n",
            serde_json::json!({ "schema": crate::show::SCHEMA, "done": done })
        ))
    } else if global.quiet {
        Ok(())
    } else {
        print(&format!("{done}\n"))
    }
}
