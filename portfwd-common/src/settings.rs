//! What the datapath must know of its interface and its configuration, in one map entry.

use bytemuck::{Pod, Zeroable};

use crate::{Mac, PortRange, State};

/// The value of the `settings` map (an array of one). All zero until the loader has filled it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// The interface's MAC address: a frame to another one is not ours.
    pub mac: Mac,
    /// [`Settings::READY`] once the rest is valid.
    pub ready: u8,
    /// Not zero where XDP runs in front of TC, which then does not count what passed XDP.
    pub xdp_in_front: u8,
    /// The interface, to send out of.
    pub ifindex: u32,
    /// How the programs are attached, as `status` shows it; the datapath does not read it.
    pub mode: u32,
    /// The two ranges of source ports to claim from; the second may be empty.
    pub ports: [PortRange; 2],
    /// When forwarding started, in seconds of the wall clock; for `status` only.
    pub started_at_s: u64,
    /// Timeout of each [`State`], in nanoseconds.
    pub timeouts_ns: [u64; 16],
}

impl Settings {
    /// The value of `ready` once the entry is filled.
    pub const READY: u8 = 1;

    /// The idle time after which a flow in `state` ends.
    #[inline(always)]
    #[must_use]
    pub fn timeout_ns(&self, state: State) -> u64 {
        // The mask keeps the index inside the array in a way that the verifier can follow, and
        // the black box keeps the compiler, which knows the states, from dropping it.
        let index = core::hint::black_box(state as usize) & 15;
        self.timeouts_ns[index]
    }
}
