//! What the integration tests, the demo and the benchmark share: a network of namespaces to
//! forward real traffic in, and the programs that it needs.
//!
//! The commands themselves are in `main.rs`; this library knows nothing of cargo or of building.

pub mod lab;
pub mod programs;
