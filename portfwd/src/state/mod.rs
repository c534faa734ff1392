//! What is desired, what is installed, and the changes between the two: pure functions, apart
//! from reading the maps and writing them.

mod apply;
mod installed;
mod plan;

pub use apply::apply;
pub use installed::{InUse, Installed, InstalledRule, read_rule};
pub use plan::{Change, Desired, Room, plan};
