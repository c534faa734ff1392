//! The packet as TC sees it: a socket buffer, and the ways out of it.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::{
    __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_SHOT, bpf_redir_neigh,
};
use aya_ebpf::helpers::{
    bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh, bpf_skb_load_bytes, bpf_skb_store_bytes,
};
use aya_ebpf::programs::TcContext;
use bytemuck::Pod;
use portfwd_common::{ChecksumDelta, Packet, ZeroChecksum};

use crate::maps::{SETTINGS, TARGETS_V4};

/// `AF_INET`.
const AF_INET: u32 = 2;

/// A frame in a socket buffer.
pub struct TcPacket {
    skb: *mut __sk_buff,
}

impl TcPacket {
    pub fn new(ctx: &TcContext) -> Self {
        Self { skb: ctx.skb.skb }
    }
}

impl Packet for TcPacket {
    const RESOLVES_NEIGHBOURS: bool = true;

    #[inline(always)]
    fn seen_before(&self) -> bool {
        SETTINGS
            .get(0)
            .is_some_and(|settings| settings.xdp_in_front != 0)
    }

    #[inline(always)]
    fn has(&self, len: usize) -> bool {
        // SAFETY: the kernel hands the program a valid context.
        len <= unsafe { (*self.skb).len as usize }
    }

    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the destination has room for a T, which the helper fills on success; any
        // bytes are a T.
        unsafe {
            let to = value.as_mut_ptr().cast::<c_void>();
            (bpf_skb_load_bytes(self.skb.cast(), offset as u32, to, size_of::<T>() as u32) == 0)
                .then(|| value.assume_init())
        }
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        // SAFETY: the source is a T.
        let result = unsafe {
            let from = (&raw const value).cast::<c_void>();
            bpf_skb_store_bytes(self.skb, offset as u32, from, size_of::<T>() as u32, 0)
        };
        (result == 0).then_some(())
    }

    /// A socket buffer's checksum may be left for the hardware to complete (CHECKSUM_PARTIAL):
    /// then the packet holds the sum of the pseudo header alone, and only the kernel knows.
    #[inline(always)]
    fn patch_l4_checksum(
        &mut self,
        offset: usize,
        _checksum: [u8; 2],
        zero: ZeroChecksum,
        addresses: ChecksumDelta,
        ports: ChecksumDelta,
    ) -> Option<()> {
        let keep_zero = match zero {
            ZeroChecksum::MeansNone => u64::from(BPF_F_MARK_MANGLED_0),
            ZeroChecksum::IsAValue => 0,
        };
        let in_pseudo_header = u64::from(BPF_F_PSEUDO_HDR);
        let offset = offset as u32;
        // SAFETY: the context is valid; the helper checks the offset.
        let result = unsafe {
            bpf_l4_csum_replace(
                self.skb,
                offset,
                0,
                addresses.as_wsum(),
                keep_zero | in_pseudo_header,
            ) | bpf_l4_csum_replace(self.skb, offset, 0, ports.as_wsum(), keep_zero)
        };
        (result == 0).then_some(())
    }
}

/// Sends the packet out of the interface it came from, with the MAC addresses it has.
#[inline(always)]
pub fn redirect() -> i32 {
    let Some(settings) = SETTINGS.get(0) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: the helper checks the interface.
    unsafe { bpf_redirect(settings.ifindex, 0) as i32 }
}

/// Sends the packet out of the interface it came from, to the target's next hop, which the
/// kernel's neighbour table resolves.
#[inline(always)]
pub fn redirect_to_neighbour(target: u32) -> i32 {
    let (Some(settings), Some(target)) = (SETTINGS.get(0), TARGETS_V4.get(target)) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: all zero bytes are a valid value of this C struct of integers.
    let mut next_hop: bpf_redir_neigh = unsafe { core::mem::zeroed() };
    next_hop.nh_family = AF_INET;
    next_hop.__bindgen_anon_1.ipv4_nh = u32::from_ne_bytes(target.next_hop);
    let size = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: the parameters live until the helper returns; it checks the interface.
    unsafe { bpf_redirect_neigh(settings.ifindex, &mut next_hop, size, 0) as i32 }
}
