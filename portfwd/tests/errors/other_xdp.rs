//! Somebody else's XDP program on an interface.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};
use nix::net::if_::if_nametoindex;
use xtask::lab::Host;

/// A program that leaves every packet to the host; it is there as long as this is.
pub struct OtherXdp {
    _link: OwnedFd,
}

impl OtherXdp {
    /// Puts one on `nic` of `host`.
    pub fn attach(host: &Host, nic: &str) -> Result<Self> {
        let link = host.enter(|| -> Result<OwnedFd> {
            let interface = if_nametoindex(nic)?;
            let program = load().context("cannot load it")?;
            link(&program, interface).context("cannot attach it")
        })?;
        Ok(Self { _link: link })
    }

    /// The id of the program on `nic`, as `ip` shows it.
    pub fn id(host: &Host, nic: &str) -> Result<String> {
        let shown = host.run("ip", ["-d", "link", "show", nic])?;
        let id = shown.split("prog/xdp id ").nth(1);
        let id = id.and_then(|rest| rest.split_whitespace().next());
        Ok(id.with_context(|| shown.clone())?.to_owned())
    }
}

/// `return XDP_PASS;`
fn load() -> io::Result<OwnedFd> {
    const XDP_PASS: i32 = 2;
    const MOV_TO_R0: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let instruction = |code, imm| {
        // SAFETY: a C struct of integers; all zero bytes are valid.
        let mut instruction: bpf_insn = unsafe { zeroed() };
        instruction.code = code;
        instruction.imm = imm;
        instruction
    };
    let program = [instruction(MOV_TO_R0, XDP_PASS), instruction(EXIT, 0)];
    let license = c"GPL";
    // SAFETY: a C union of integers; all zero bytes are valid.
    let mut attr: bpf_attr = unsafe { zeroed() };
    // SAFETY: plain integers of one variant; program and licence outlive the call.
    unsafe {
        let load = &mut attr.__bindgen_anon_3;
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_XDP as u32;
        load.insn_cnt = program.len() as u32;
        load.insns = program.as_ptr() as u64;
        load.license = license.as_ptr() as u64;
        bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
    }
}

fn link(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    // SAFETY: a C union of integers; all zero bytes are valid.
    let mut attr: bpf_attr = unsafe { zeroed() };
    // SAFETY: plain integers of one variant.
    unsafe {
        let create = &mut attr.link_create;
        create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
        create.__bindgen_anon_2.target_ifindex = interface;
        create.attach_type = bpf_attach_type::BPF_XDP as u32;
        bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
    }
}

/// Calls bpf(2) for a command that returns a descriptor.
///
/// # Safety
/// `attr` must be what `command` expects, and every address in it valid.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let attr: *mut bpf_attr = attr;
    let command = command as libc::c_int;
    // SAFETY: the attribute is as large as stated; the rest is the caller's promise.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<bpf_attr>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it, for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
