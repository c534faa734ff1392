//! (being written)
/// Mode
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// a
    Auto,
    /// n
    Native,
    /// g
    Generic,
    /// t
    Tc,
}
