//! What is committed: the object, and beside it a record of what it was made of.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::toolchain::Versions;

pub const OBJECT: &str = "portfwd/ebpf/portfwd.bpf.o";
pub const RECORD: &str = "portfwd/ebpf/portfwd.bpf.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub sources_sha256: String,
    pub object_sha256: String,
    #[serde(flatten)]
    pub versions: Versions,
}

impl Record {
    /// The record and the object, as they are in the workspace.
    pub fn read(root: &Path) -> Result<(Self, Vec<u8>)> {
        let missing = |path| format!("cannot read {path}: run `cargo xtask build-ebpf`");
        let object = fs::read(root.join(OBJECT)).with_context(|| missing(OBJECT))?;
        let text = fs::read_to_string(root.join(RECORD)).with_context(|| missing(RECORD))?;
        let record = serde_json::from_str(&text).with_context(|| missing(RECORD))?;
        Ok((record, object))
    }

    pub fn write(&self, root: &Path, object: &[u8]) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        for (path, bytes) in [(OBJECT, object), (RECORD, text.as_bytes())] {
            let path = root.join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The hash in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
