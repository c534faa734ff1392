//! `cargo xtask build-ebpf`: the eBPF object that portfwd embeds is committed, so that users need
//! stable Rust alone; here it is built, and checked against its sources.

mod btf;
mod build;
mod debian;
mod record;
mod sources;
mod toolchain;

use anyhow::{Result, bail, ensure};

use crate::cargo::Workspace;
use crate::packages::Consent;
use record::{Record, sha256};
use toolchain::Toolchain;

#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail where the committed object does not come from the sources
    #[arg(long)]
    check: bool,
    /// Install missing Debian packages without asking
    #[arg(long)]
    install: bool,
}

/// Builds or checks the object.
pub fn run(arguments: &Arguments) -> Result<()> {
    let consent = Consent::from_flag(arguments.install);
    if arguments.check {
        check(consent)
    } else {
        write(consent)
    }
}

fn write(consent: Consent) -> Result<()> {
    let workspace = Workspace::find()?;
    let toolchain = Toolchain::find(&workspace, consent)?;
    let object = build::object(&workspace, &toolchain)?;
    let record = Record {
        sources_sha256: sources::hash(&workspace.root)?,
        object_sha256: sha256(&object),
        versions: toolchain.versions,
    };
    record.write(&workspace.root, &object)?;
    println!(
        "build-ebpf: wrote {} ({} bytes) and {}",
        record::OBJECT,
        object.len(),
        record::RECORD
    );
    Ok(())
}

/// Checks that the committed object comes from the sources: by the hashes that were recorded with
/// it, and by building it again where the same versions are there.
pub fn check(consent: Consent) -> Result<()> {
    let workspace = Workspace::find()?;
    let (record, object) = Record::read(&workspace.root)?;
    let sources = sources::hash(&workspace.root)?;
    ensure!(
        record.sources_sha256 == sources,
        "{} was built from other sources (recorded {}, now {sources}): \
         run `cargo xtask build-ebpf` and commit what it writes",
        record::OBJECT,
        record.sources_sha256
    );
    let hash = sha256(&object);
    ensure!(
        record.object_sha256 == hash,
        "{} is not the object that was recorded (recorded {}, is {hash}): \
         run `cargo xtask build-ebpf` and commit what it writes",
        record::OBJECT,
        record.object_sha256
    );
    println!("build-ebpf: the sources and the object are those that were recorded");

    let toolchain = match Toolchain::like(&record.versions, &workspace, consent) {
        Ok(toolchain) => toolchain,
        Err(reason) if consent == Consent::Ask => {
            println!("build-ebpf: not built again to compare: {reason:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if toolchain.versions != record.versions {
        println!("build-ebpf: not built again to compare, for the tools differ:");
        println!("  recorded: {}", record.versions);
        println!("  here:     {}", toolchain.versions);
        return Ok(());
    }
    let rebuilt = build::object(&workspace, &toolchain)?;
    if rebuilt != object {
        let path = build::folder(&workspace).join("rebuilt.o");
        std::fs::write(&path, rebuilt)?;
        bail!(
            "{} differs from what its sources give with the same tools, see {}: \
             run `cargo xtask build-ebpf` and commit what it writes",
            record::OBJECT,
            path.display()
        );
    }
    println!("build-ebpf: built again with the same tools: identical, byte for byte");
    Ok(())
}
