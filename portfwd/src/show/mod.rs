//! What commands print: plain view types, as tables for people and JSON for scripts. Reads no
//! maps; `commands` fills the views.

mod conns;
mod list;
mod maps;
mod stats;
mod status;
mod table;

pub use conns::{
    FlowFilter, FlowView, flow_view, write_conntrack, write_flow_json, write_flow_table,
};
pub use list::{RuleView, TargetView, list_json, list_table};
pub use maps::{MapView, maps_json, maps_table};
pub use stats::{FlowCounts, PacketCounts, ProgramView, StatsView};
pub use status::{AttachedProgram, StatusView};

/// The version of every JSON document; it changes when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// Bytes as people read them, as in `74.2 KiB`.
fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}
