//! `cargo xtask demo`: portfwd at work between namespaces of this machine, told step by step.

mod interrupt;
mod steps;
mod story;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use xtask::lab::Lab;
use xtask::programs;

use crate::{cargo, clean, packages, root};
use story::Story;

#[derive(clap::Args, Default)]
pub struct Arguments {
    /// A portfwd that is built already
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Builds portfwd as the user who asks, then shows it as root.
pub fn run(arguments: &Arguments) -> Result<()> {
    let binary = match &arguments.binary {
        Some(binary) => std::path::absolute(binary)
            .with_context(|| format!("cannot find {}", binary.display()))?,
        None => {
            println!("Building portfwd: cargo build --release --package portfwd");
            cargo::build_portfwd()?
        }
    };
    if root::is_root() {
        return show(&binary);
    }
    println!("Network namespaces take root: going on through sudo");
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let mut again = root::command(own)?;
    let error = again.args(["demo", "--binary"]).arg(&binary).exec();
    Err(anyhow!(error).context("cannot go on as root"))
}

fn show(binary: &Path) -> Result<()> {
    packages::install_programs(programs::LAB)?;
    clean::before()?;
    interrupt::take_down_on_signals()?;
    let mut story = Story::default();
    let told = Lab::new().and_then(|lab| {
        let told = steps::tell(&mut story, &lab, binary);
        if told.is_err() {
            interrupt::wait_if_interrupted();
        }
        story.step("Taking the lab down");
        drop(lab);
        story.note("namespaces, processes and temporary files are gone");
        told
    });
    if told.is_err() {
        interrupt::wait_if_interrupted();
    }
    told.context("the demo failed")?;
    println!("\nThe demo has passed.");
    Ok(())
}
