//! What tests and fuzzers share: packets and tables on the host, and the table of packet cases
//! that runs on host bytes, on the XDP program and on the TC program alike.

mod cases;
pub mod frames;
mod host;

pub use cases::{Case, Expect, Setup, Step, cases};
pub use host::{HostPacket, HostTables};
