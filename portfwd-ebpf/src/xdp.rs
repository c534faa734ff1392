//! The packet as XDP sees it: bytes in the driver's buffer.

use core::ptr;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use portfwd_common::Packet;

/// No header that is read starts further into a frame.
const MAX_OFFSET: usize = 1023;

/// A frame in the driver's buffer.
pub struct XdpPacket {
    ctx: *mut xdp_md,
}

impl XdpPacket {
    pub fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    /// The address of the `T` at `offset`.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        // The verifier follows an offset into the packet only while it knows a small bound.
        if offset > MAX_OFFSET {
            return None;
        }
        // Read anew each time, and volatile: LLVM would otherwise merge this check with one
        // against another end, in a form that the verifier cannot follow.
        // SAFETY: the kernel hands the program a valid context.
        let (data, end) = unsafe {
            (
                ptr::read_volatile(&raw const (*self.ctx).data) as usize,
                ptr::read_volatile(&raw const (*self.ctx).data_end) as usize,
            )
        };
        let start = data + offset;
        if start + size_of::<T>() > end {
            return None;
        }
        Some(start as *mut T)
    }
}

impl Packet for XdpPacket {
    const RESOLVES_NEIGHBOURS: bool = false;

    #[inline(always)]
    fn seen_before(&self) -> bool {
        false
    }

    #[inline(always)]
    fn has(&self, len: usize) -> bool {
        // SAFETY: the kernel hands the program a valid context.
        unsafe {
            let linear = (*self.ctx).data_end as usize - (*self.ctx).data as usize;
            // Only a jumbo frame has more than its linear part; the call is not free.
            len <= linear || len <= bpf_xdp_get_buff_len(self.ctx) as usize
        }
    }

    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let start = self.at(offset)?;
        // SAFETY: `at` has checked that the bytes are inside the buffer; any bytes are a T.
        Some(unsafe { ptr::read_unaligned(start) })
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let start = self.at(offset)?;
        // SAFETY: `at` has checked that the bytes are inside the buffer.
        unsafe { ptr::write_unaligned(start, value) };
        Some(())
    }
}
