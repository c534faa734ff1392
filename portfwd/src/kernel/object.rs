//! The compiled programs, and how they are loaded.

use anyhow::{Context, Result};
use aya::{Ebpf, EbpfLoader};

use super::pins::Pins;
use super::shapes::MAPS;

/// The object that `cargo xtask build-ebpf` wrote and that is committed.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/portfwd.bpf.o");

/// How many entries a flow takes: one per direction.
const ENTRIES_PER_FLOW: u32 = 2;

/// What is set before the programs are loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many established flows there may be.
    pub max_flows: u32,
    /// How many half-open flows there may be.
    pub max_half_open: u32,
    /// What the datapath logs of single packets: 0 nothing, 1 drops, 2 everything. The verifier
    /// removes the code of what is off.
    pub verbosity: u8,
}

impl Load {
    /// Creates the maps (or takes those that are pinned) and prepares the programs.
    pub(super) fn object(&self, pins: Option<&Pins>) -> Result<Ebpf> {
        let log_level: u8 = match self.verbosity {
            0 => 0,
            1 => aya_log::Level::Debug as u8,
            _ => aya_log::Level::Trace as u8,
        };
        let entries = |flows: u32| flows.saturating_mul(ENTRIES_PER_FLOW);
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries("flows_v4", entries(self.max_flows))
            .map_max_entries("half_open_v4", entries(self.max_half_open))
            .override_global(aya_log::LEVEL, &log_level, true);
        if let Some(pins) = pins {
            for map in &MAPS {
                loader.map_pin_path(map.name, pins.folder().join(map.name));
            }
        }
        loader.load(OBJECT).context("the kernel refused the maps")
    }
}
