//! What is desired, what is installed, and the changes between the two: pure functions, apart
//! from reading the maps and writing them.

mod apply;
mod installed;
mod plan;

pub use apply::apply;
pub use installed::{InUse, Installed, InstalledRule, names, read_rule, read_rules};
pub use plan::{Change, Desired, Room, plan};
