//! Running the loaded programs on bytes, without an interface (BPF_PROG_TEST_RUN).

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::{SchedClassifier, Xdp};

use super::attach::{ProgramUse, load_programs, loaded};
use super::maps::Maps;
use super::object::Load;
use super::syscall::test_run;

// The actions of linux/bpf.h and linux/pkt_cls.h that the programs return.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_REDIRECT: u32 = 7;

/// Which program to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// The XDP program.
    Xdp,
    /// The TC program.
    Tc,
}

/// What a program did with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestRunOutput {
    /// Sent out again (XDP_TX, or a TC redirect), as these bytes.
    Sent(Vec<u8>),
    /// Left to the host, as these bytes.
    Passed(Vec<u8>),
    /// Dropped.
    Dropped,
    /// An action that the programs never return.
    Other(u32),
}

/// Both programs with maps of their own, attached to nothing.
pub struct TestRun {
    object: Ebpf,
    /// The maps of both programs.
    pub maps: Maps,
}

impl TestRun {
    /// Loads the programs with small maps.
    ///
    /// # Errors
    /// Where the kernel refuses, or without the capability to load programs.
    pub fn load(load: &Load) -> Result<Self> {
        let mut object = load.object(None)?;
        load_programs(&mut object)?;
        let maps = Maps::take(&mut object)?;
        Ok(Self { object, maps })
    }

    /// Both programs, as the kernel knows them.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn programs(&self) -> Result<Vec<ProgramUse>> {
        loaded(&self.object)
    }

    /// Runs a program once on a frame.
    ///
    /// # Errors
    /// Where the kernel refuses the frame (it wants at least an Ethernet header).
    pub fn run(&self, hook: Hook, frame: &[u8]) -> Result<TestRunOutput> {
        // Room for what a program might add in front.
        let mut output = vec![0; frame.len() + 256];
        let fd = match hook {
            Hook::Xdp => {
                let program: &Xdp = self
                    .object
                    .program("portfwd_xdp")
                    .context("no XDP program")?
                    .try_into()?;
                program.fd()?.try_clone()?
            }
            Hook::Tc => {
                let program: &SchedClassifier = self
                    .object
                    .program("portfwd_tc")
                    .context("no TC program")?
                    .try_into()?;
                program.fd()?.try_clone()?
            }
        };
        let result = test_run(fd.as_fd(), frame, &mut output, &[], 1)
            .with_context(|| format!("the kernel refused a test run on {} bytes", frame.len()))?;
        output.truncate(result.data_len);
        Ok(match (hook, result.return_value) {
            (Hook::Xdp, XDP_TX) | (Hook::Tc, TC_ACT_REDIRECT) => TestRunOutput::Sent(output),
            (Hook::Xdp, XDP_PASS) | (Hook::Tc, TC_ACT_UNSPEC) => TestRunOutput::Passed(output),
            (Hook::Xdp, XDP_DROP) | (Hook::Tc, TC_ACT_SHOT) => TestRunOutput::Dropped,
            (_, action) => TestRunOutput::Other(action),
        })
    }
}
