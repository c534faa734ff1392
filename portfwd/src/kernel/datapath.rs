//! One interface's datapath from load to removal.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use nix::fcntl::Flock;

use super::attach::{self, Attached, ProgramUse};
use super::bpffs::ensure_bpffs;
use super::maps::Maps;
pub use super::object::Load;
use super::pins::Pins;
use super::shapes::check_shapes;
use crate::config::Mode;

/// The programs and maps of one interface.
///
/// Dropping it leaves everything that is pinned as it is: forwarding goes on.
pub struct Datapath {
    /// The maps.
    pub maps: Maps,
    pins: Pins,
    object: Ebpf,
    adopted: bool,
    /// Nobody else's state dir makes a second daemon of these maps.
    _lock: Flock<File>,
}

impl Datapath {
    /// Loads the programs over new maps, or over the pinned ones of an earlier run with their
    /// flows. Nothing is attached yet, and where this fails nothing new is left.
    ///
    /// # Errors
    /// Where there is no BPF file system, pins do not fit this version, or the kernel refuses.
    pub fn load(pins: Pins, pin_dir: &Path, load: &Load) -> Result<Self> {
        ensure_bpffs(pin_dir)?;
        ensure_bpffs(pins.interface_folder())?;
        let lock = pins.lock()?;
        pins.refuse_other_versions()?;
        pins.remove_if_incomplete()?;
        let adopted = pins.exist();
        if adopted {
            check_shapes(pins.folder())?;
        }
        ensure_bpffs(pins.folder())?;
        let loaded = Self::load_over_pins(&pins, load);
        match loaded {
            Ok((object, maps)) => Ok(Self {
                maps,
                pins,
                object,
                adopted,
                _lock: lock,
            }),
            Err(error) => {
                if !adopted {
                    pins.remove_all()?;
                }
                Err(error)
            }
        }
    }

    fn load_over_pins(pins: &Pins, load: &Load) -> Result<(Ebpf, Maps)> {
        let mut object = load.object(Some(pins))?;
        attach::load_programs(&mut object)?;
        let maps = Maps::open(pins.folder())?;
        Ok((object, maps))
    }

    /// Whether the maps are an earlier run's.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Attaches the programs, atomically in the place of an earlier run's.
    ///
    /// # Errors
    /// [`super::AttachError`] where the interface is taken or its driver has no XDP.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> Result<Attached> {
        attach::attach(&mut self.object, &self.pins, interface, mode)
    }

    /// The log of the programs' own diagnostics.
    ///
    /// # Errors
    /// Where the ring buffer cannot be opened.
    pub fn diagnostics(&mut self) -> Result<Diagnostics> {
        let logger =
            EbpfLogger::init(&mut self.object).context("cannot open the datapath's log")?;
        Ok(Diagnostics { logger })
    }

    /// Detaches the programs and removes the maps.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn remove(self) -> Result<()> {
        self.pins.remove_all()
    }

    /// The attached programs of the instance that is pinned at `pins`.
    ///
    /// # Errors
    /// Where a pinned link cannot be read.
    pub fn programs(pins: &Pins) -> Result<Vec<ProgramUse>> {
        attach::programs(pins)
    }

    /// The name of any loaded program, by the kernel's id.
    #[must_use]
    pub fn program_name(id: u32) -> Option<String> {
        attach::program_name(id)
    }
}

/// The programs' diagnostics; readable when there are some.
pub struct Diagnostics {
    logger: EbpfLogger<&'static dyn log::Log>,
}

impl Diagnostics {
    /// Passes what has come on to the logger.
    pub fn flush(&mut self) {
        self.logger.flush();
    }
}

impl AsFd for Diagnostics {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.logger.as_fd()
    }
}

impl std::os::fd::AsRawFd for Diagnostics {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.logger.as_raw_fd()
    }
}

/// Makes the kernel count every run of BPF programs, and its time, while the value lives.
///
/// # Errors
/// Without the capability.
pub fn count_runs() -> io::Result<std::os::fd::OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|error| error.io_error)
}
