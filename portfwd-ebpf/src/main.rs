//! The kernel's side of portfwd: entry points, and one table from verdict to action.
//!
//! There is no translation logic here; see `portfwd_common::translate`.
#![no_std]
#![no_main]
#![expect(
    missing_docs,
    reason = "the macros repeat each entry point without its documentation"
)]

mod diagnostics;
mod maps;
mod tables;
mod tc;
mod xdp;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use portfwd_common::{V4, Verdict, translate};

use crate::tables::KernelTables;
use crate::tc::TcPacket;
use crate::xdp::XdpPacket;

/// The fast path, in the driver.
#[xdp]
pub fn portfwd_xdp(ctx: XdpContext) -> u32 {
    fast_path(ctx)
}

/// The fast path where frames do not fit one buffer (jumbo MTU). Only there: a veth pair sends
/// frames of 64 KiB, without telling how to cut them, to a program that takes fragments.
#[xdp(frags)]
pub fn portfwd_xdp_frags(ctx: XdpContext) -> u32 {
    fast_path(ctx)
}

#[inline(always)]
fn fast_path(ctx: XdpContext) -> u32 {
    let mut packet = XdpPacket::new(&ctx);
    let tables = KernelTables::new(&ctx);
    match translate::<V4, _, _>(&mut packet, &tables) {
        Verdict::Transmit => xdp_action::XDP_TX,
        Verdict::Drop(_) => xdp_action::XDP_DROP,
        // TransmitVia is TC's alone: XDP does not resolve neighbours.
        Verdict::Pass(_) | Verdict::HandOver | Verdict::TransmitVia(_) => xdp_action::XDP_PASS,
    }
}

/// The slow path behind XDP, and the whole path where XDP cannot attach.
#[classifier]
pub fn portfwd_tc(ctx: TcContext) -> i32 {
    let mut packet = TcPacket::new(&ctx);
    let tables = KernelTables::new(&ctx);
    match translate::<V4, _, _>(&mut packet, &tables) {
        Verdict::Transmit => tc::redirect(),
        Verdict::TransmitVia(target) => tc::redirect_to_neighbour(target),
        // HandOver is XDP's alone: behind TC there is only the host's own stack.
        Verdict::Drop(_) | Verdict::HandOver => TC_ACT_SHOT,
        Verdict::Pass(_) => TC_ACT_UNSPEC,
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in the programs panics: the verifier refuses this endless loop if it can be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
