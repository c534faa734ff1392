//! What `-v` shows of single packets, through aya-log.
//!
//! The loader sets the level before it loads the programs; the verifier then removes the code
//! of levels that are off, so that they cost nothing per packet.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::{debug, trace};
use portfwd_common::{Drop, Parsed, V4, Verdict};

macro_rules! report {
    ($ctx:expr, $level:ident, $parsed:expr, $what:expr, $why:expr) => {
        $level!(
            $ctx,
            "{:i}:{} > {:i}:{} proto {} flags {}: {} {}",
            $parsed.key.source,
            u16::from_be_bytes($parsed.key.source_port),
            $parsed.key.destination,
            u16::from_be_bytes($parsed.key.destination_port),
            $parsed.key.protocol,
            $parsed.flags.0,
            $what,
            $why
        )
    };
}

/// One log line per reason, so that each carries the reason's name as a constant.
macro_rules! report_drop {
    ($ctx:expr, $parsed:expr, $reason:expr, $($variant:ident)+) => {
        match $reason {
            $(Drop::$variant => report!($ctx, debug, $parsed, "drop", const { Drop::$variant.name() }),)+
        }
    };
}

/// Logs how a packet ended: drops and packets for the slow path at `debug`, the rest at `trace`.
#[inline(never)]
pub fn log<C: EbpfContext>(ctx: &C, parsed: &Parsed<V4>, verdict: Verdict) {
    match verdict {
        Verdict::Pass(_) => report!(ctx, trace, parsed, "pass", ""),
        Verdict::Transmit => report!(ctx, trace, parsed, "transmit", ""),
        Verdict::TransmitVia(_) => {
            report!(ctx, debug, parsed, "transmit,", "resolving the next hop")
        }
        Verdict::HandOver => report!(ctx, debug, parsed, "hand over", "to TC"),
        Verdict::Drop(reason) => report_drop!(ctx, parsed, reason,
            TtlExceeded Fragment Malformed BadChecksum InvalidFlags NoFlow NoPort NoRoute
            TableFull FlowRace FlowLost StoreFailed),
    }
}
