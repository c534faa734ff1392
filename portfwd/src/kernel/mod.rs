//! The only part of user space that talks to the kernel's BPF: loading, pinning, attaching and
//! the maps. Nothing outside names aya.

mod attach;
mod bpffs;
mod datapath;
mod dump;
mod maps;
mod object;
mod pins;
mod shapes;
mod syscall;
mod test_run;

pub use attach::{AttachError, Attached, ProgramUse};
pub use bpffs::ensure_bpffs;
pub use datapath::{Datapath, Diagnostics, Load, count_runs};
pub use dump::Entries;
pub use maps::Maps;
pub use pins::{Pins, interfaces};
pub use shapes::{MAPS, MapShape, MapUse};
pub use syscall::RunStats;
pub use test_run::{Hook, TestRun, TestRunOutput};
