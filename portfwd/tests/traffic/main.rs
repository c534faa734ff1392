//! Real connections through a lab of network namespaces, in XDP mode and in TC mode.

mod bytes;
mod capture;
mod changes;
mod crash;
mod setup;
mod untouched;
