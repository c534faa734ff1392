//! What makes a veth take packets that its peer sends from XDP.
//!
//! A veth that has no XDP program of its own queues such packets, but the peer wakes it only
//! where it has one (drivers/net/veth.c, `veth_xdp_flush`): with GRO alone they lie there until
//! something else arrives. A real NIC has no such gap, so the lab closes it.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};
use nix::net::if_::if_nametoindex;

use super::Host;

/// An XDP program on a NIC that leaves every packet to the host; it is there as long as this is.
#[derive(Debug)]
pub(super) struct Receiver {
    _link: OwnedFd,
}

impl Receiver {
    /// Puts one on `nic` of `host`, whose MTU is `mtu`.
    pub(super) fn attach(host: &Host, nic: &str, mtu: u32) -> Result<Self> {
        let link = host.enter(|| -> Result<OwnedFd> {
            let index = if_nametoindex(nic).with_context(|| format!("there is no {nic}"))?;
            Ok(link(&load(mtu)?, index)?)
        });
        let link =
            link.with_context(|| format!("cannot make {nic} of {} receive from XDP", host.name()))?;
        Ok(Self { _link: link })
    }
}

/// `return XDP_PASS;`
fn load(mtu: u32) -> io::Result<OwnedFd> {
    /// A frame up to here fits one page beside the kernel's own needs.
    const ONE_BUFFER: u32 = 3000;
    const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
    const XDP_PASS: i32 = 2;
    const BPF_ALU64_MOV_K: u8 = 0xb7;
    const BPF_JMP_EXIT: u8 = 0x95;
    let instruction = |code, imm| bpf_insn {
        code,
        imm,
        ..empty_instruction()
    };
    let program = [
        instruction(BPF_ALU64_MOV_K, XDP_PASS),
        instruction(BPF_JMP_EXIT, 0),
    ];
    let license = c"Dual MIT/GPL";
    // SAFETY: a C union of integers; all zero bytes are valid.
    let mut attr: bpf_attr = unsafe { zeroed() };
    // SAFETY: plain integers of one variant; program and licence outlive the call.
    unsafe {
        attr.__bindgen_anon_3.prog_type = bpf_prog_type::BPF_PROG_TYPE_XDP as u32;
        attr.__bindgen_anon_3.insn_cnt = program.len() as u32;
        attr.__bindgen_anon_3.insns = program.as_ptr() as u64;
        attr.__bindgen_anon_3.license = license.as_ptr() as u64;
        if mtu > ONE_BUFFER {
            attr.__bindgen_anon_3.prog_flags = BPF_F_XDP_HAS_FRAGS;
        }
        bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
    }
}

fn link(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    // SAFETY: a C union of integers; all zero bytes are valid.
    let mut attr: bpf_attr = unsafe { zeroed() };
    // SAFETY: plain integers of one variant.
    unsafe {
        attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
        attr.link_create.__bindgen_anon_2.target_ifindex = interface;
        attr.link_create.attach_type = bpf_attach_type::BPF_XDP as u32;
        bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
    }
}

fn empty_instruction() -> bpf_insn {
    // SAFETY: a C struct of integers; all zero bytes are valid.
    unsafe { zeroed() }
}

/// Calls bpf(2) for a command that returns a descriptor.
///
/// # Safety
/// `attr` must be what `command` expects, and every address in it valid.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: the attribute is as large as stated; the rest is the caller's promise.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            attr,
            size_of::<bpf_attr>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it, for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
