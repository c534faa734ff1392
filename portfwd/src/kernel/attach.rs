//! Attaching the programs to an interface: links that are pinned, so that forwarding does not
//! depend on this process.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aya::Ebpf;
use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{
    ProgramError, ProgramInfo, SchedClassifier, TcAttachType, Xdp, XdpMode, loaded_programs,
};
use thiserror::Error;

use super::pins::Pins;
use super::syscall::{RunStats, run_stats};
use crate::config::Mode;

/// The XDP programs, in the order in which they are tried: for frames that fit one buffer, and
/// for jumbo frames.
const XDP: [&str; 2] = ["portfwd_xdp", "portfwd_xdp_frags"];
const TC: &str = "portfwd_tc";

/// How the programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Attached {
    /// XDP in the driver, TC behind it.
    Native = 1,
    /// XDP in the generic hook, TC behind it.
    Generic = 2,
    /// TC alone.
    Tc = 3,
}

impl Attached {
    /// The mode with this number in the settings map.
    #[must_use]
    pub fn from_u32(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Native),
            2 => Some(Self::Generic),
            3 => Some(Self::Tc),
            _ => None,
        }
    }

    /// The name that users know from `--mode`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }

    /// Whether XDP runs in front of TC.
    #[must_use]
    pub fn has_xdp(self) -> bool {
        self != Self::Tc
    }
}

/// Why a program could not be attached, where the caller can say more about it.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The interface has an XDP program that is not this instance's.
    #[error("another XDP program is attached")]
    Busy,
    /// The driver has no native XDP, or not in its present state.
    #[error("the driver does not take an XDP program: {0}")]
    NoNativeXdp(std::io::Error),
}

/// One of the programs, as the kernel knows it.
#[derive(Clone, Debug)]
pub struct ProgramUse {
    /// The program's name.
    pub name: String,
    /// The kernel's id.
    pub id: u32,
    /// Instructions that the verifier walked through.
    pub verified_instructions: Option<u32>,
    /// Runs, as far as they were counted.
    pub stats: RunStats,
}

/// Loads all programs, which is when the verifier sees them.
pub(super) fn load_programs(object: &mut Ebpf) -> Result<()> {
    for name in XDP {
        program::<Xdp>(object, name)?
            .load()
            .map_err(verifier_error)?;
    }
    program::<SchedClassifier>(object, TC)?
        .load()
        .map_err(verifier_error)
}

/// Attaches both programs, or replaces those that pinned links hold, atomically. TC comes
/// first: whatever XDP hands over must find it.
pub(super) fn attach(
    object: &mut Ebpf,
    pins: &Pins,
    interface: &str,
    mode: Mode,
) -> Result<Attached> {
    attach_tc(object, pins, interface)?;
    let attached = match mode {
        Mode::Tc => Attached::Tc,
        Mode::Native => attach_xdp(object, pins, interface, XdpMode::Driver)?,
        Mode::Generic => attach_xdp(object, pins, interface, XdpMode::Skb)?,
        Mode::Auto => match attach_xdp(object, pins, interface, XdpMode::Driver) {
            Err(error) if matches!(error.downcast_ref(), Some(AttachError::NoNativeXdp(_))) => {
                tracing::warn!("{error:#}; forwarding with TC alone");
                Attached::Tc
            }
            other => other?,
        },
    };
    if attached == Attached::Tc && pins.xdp_link().exists() {
        fs::remove_file(pins.xdp_link()).context("cannot detach the XDP program")?;
    }
    Ok(attached)
}

fn attach_tc(object: &mut Ebpf, pins: &Pins, interface: &str) -> Result<()> {
    let program = program::<SchedClassifier>(object, TC)?;
    if let Some(link) = pinned(&pins.tc_link())? {
        let link = link
            .try_into()
            .context("the pinned TC link is of another kind")?;
        if program.attach_to_link(link).is_ok() {
            return Ok(());
        }
        remove_stale(&pins.tc_link())?;
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = program
        .attach_with_options(interface, TcAttachType::Ingress, order)
        .with_context(|| {
            format!("cannot attach the TC program to {interface} (TCX needs Linux 6.6)")
        })?;
    let link: FdLink = program.take_link(link)?.try_into()?;
    link.pin(pins.tc_link()).context("cannot pin the TC link")?;
    Ok(())
}

fn attach_xdp(object: &mut Ebpf, pins: &Pins, interface: &str, mode: XdpMode) -> Result<Attached> {
    let attached = match mode {
        XdpMode::Skb => Attached::Generic,
        _ => Attached::Native,
    };
    replace_or_remove(object, pins)?;
    if pins.xdp_link().exists() {
        return Ok(attached);
    }
    let [whole_frames, fragments] = XDP;
    let link = match link_xdp(object, whole_frames, interface, mode) {
        Err(error) if is_jumbo(&error) => link_xdp(object, fragments, interface, mode),
        other => other,
    };
    let link = link.map_err(|error| attach_error(error, mode))?;
    link.pin(pins.xdp_link())
        .context("cannot pin the XDP link")?;
    Ok(attached)
}

/// Puts the program that is loaded now in the place of an earlier run's, atomically; removes a
/// link that cannot take it, such as one whose interface is gone.
fn replace_or_remove(object: &mut Ebpf, pins: &Pins) -> Result<()> {
    let Some(link) = pinned(&pins.xdp_link())? else {
        return Ok(());
    };
    let old = program_by_id(
        link.info()
            .context("cannot read the XDP link")?
            .program_id(),
    );
    let [_, fragments] = XDP;
    let had_fragments = old.is_some_and(|info| is_named(&info, fragments));
    let program = program::<Xdp>(object, XDP[usize::from(had_fragments)])?;
    let link = link
        .try_into()
        .context("the pinned XDP link is of another kind")?;
    if program.attach_to_link(link).is_err() {
        remove_stale(&pins.xdp_link())?;
    }
    Ok(())
}

/// The kernel keeps the first 15 bytes of a name.
fn is_named(info: &ProgramInfo, name: &str) -> bool {
    info.name_as_str()
        .is_some_and(|known| !known.is_empty() && known == &name[..name.len().min(15)])
}

fn link_xdp(
    object: &mut Ebpf,
    name: &str,
    interface: &str,
    mode: XdpMode,
) -> Result<FdLink, ProgramError> {
    let program: &mut Xdp = object
        .program_mut(name)
        .ok_or(ProgramError::NotLoaded)?
        .try_into()?;
    let link = program.attach(interface, mode)?;
    // aya falls back to netlink where the kernel refuses a link, and such an attachment cannot
    // be pinned: dropping it here detaches the program again.
    program
        .take_link(link)?
        .try_into()
        .map_err(|_| ProgramError::NotAttached)
}

/// Whether a driver refused a program because frames may be larger than one buffer.
fn is_jumbo(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(call)
        if matches!(call.io_error.raw_os_error(), Some(libc::ERANGE | libc::EINVAL)))
}

fn attach_error(error: ProgramError, mode: XdpMode) -> anyhow::Error {
    if let ProgramError::SyscallError(call) = &error {
        match call.io_error.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => return AttachError::Busy.into(),
            Some(errno @ (libc::EOPNOTSUPP | libc::ERANGE | libc::EINVAL))
                if mode != XdpMode::Skb =>
            {
                return AttachError::NoNativeXdp(std::io::Error::from_raw_os_error(errno)).into();
            }
            _ => {}
        }
    }
    anyhow::Error::new(error).context("cannot attach the XDP program")
}

/// The programs behind the pinned links.
pub(super) fn programs(pins: &Pins) -> Result<Vec<ProgramUse>> {
    let mut programs = Vec::new();
    for path in [pins.xdp_link(), pins.tc_link()] {
        let Some(link) = pinned(&path)? else {
            continue;
        };
        let id = link
            .info()
            .context("cannot read a pinned link")?
            .program_id();
        if let Some(info) = program_by_id(id) {
            programs.push(program_use(&info)?);
        }
    }
    Ok(programs)
}

/// Both loaded programs, attached or not.
pub(super) fn loaded(object: &Ebpf) -> Result<Vec<ProgramUse>> {
    object
        .programs()
        .map(|(_, program)| program_use(&program.info()?))
        .collect()
}

fn program_use(info: &ProgramInfo) -> Result<ProgramUse> {
    let fd = info.fd().context("cannot open a program")?;
    Ok(ProgramUse {
        name: info.name_as_str().unwrap_or_default().to_owned(),
        id: info.id(),
        verified_instructions: info.verified_instruction_count(),
        stats: run_stats(fd.as_fd()).context("cannot read a program's statistics")?,
    })
}

/// The name of a loaded program.
pub(super) fn program_name(id: u32) -> Option<String> {
    program_by_id(id)?.name_as_str().map(str::to_owned)
}

fn program_by_id(id: u32) -> Option<ProgramInfo> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
}

fn program<'a, P>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = object
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}

fn pinned(path: &Path) -> Result<Option<FdLink>> {
    if !path.exists() {
        return Ok(None);
    }
    let link = PinnedLink::from_pin(path)
        .with_context(|| format!("cannot open the link {}", path.display()))?;
    Ok(Some(link.into()))
}

/// A link whose interface was deleted stays as a name without effect.
fn remove_stale(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// The verifier's log is long; its last lines say what it refused.
fn verifier_error(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(12)..].join("\n");
            anyhow!("the kernel refused a program: {io_error}\n{tail}")
        }
        error => anyhow::Error::new(error).context("cannot load a program"),
    }
}
