//! `maps`: every map, how full it is, what it takes.

use std::path::PathBuf;

use serde::Serialize;

use super::table::{Align, table};
use super::{SCHEMA, bytes};

/// A map.
#[derive(Clone, Debug, Serialize)]
pub struct MapView {
    /// Its name.
    pub name: String,
    /// The kernel's name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Entries in use.
    pub entries: u64,
    /// Entries at most.
    pub max_entries: u64,
    /// Bytes of kernel memory, where the kernel tells.
    pub memory_bytes: Option<u64>,
    /// Where it is pinned.
    pub pin: PathBuf,
    /// What it holds.
    pub holds: String,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    maps: &'a [MapView],
}

/// The maps as JSON.
///
/// # Errors
/// Never, in practice: the views hold nothing that JSON cannot.
pub fn maps_json(maps: &[MapView]) -> serde_json::Result<String> {
    serde_json::to_string(&Document {
        schema: SCHEMA,
        maps,
    })
}

/// The maps as a table, and the folder of their pins below it.
#[must_use]
pub fn maps_table(maps: &[MapView]) -> String {
    let header = [
        ("NAME", Align::Left),
        ("TYPE", Align::Left),
        ("ENTRIES", Align::Right),
        ("OF", Align::Right),
        ("MEMORY", Align::Right),
        ("HOLDS", Align::Left),
    ];
    let rows: Vec<Vec<String>> = maps
        .iter()
        .map(|map| {
            vec![
                map.name.clone(),
                map.type_name.clone(),
                map.entries.to_string(),
                map.max_entries.to_string(),
                map.memory_bytes.map_or_else(|| "-".to_owned(), bytes),
                map.holds.clone(),
            ]
        })
        .collect();
    let folder = maps.first().and_then(|map| map.pin.parent());
    let below = folder.map(|folder| format!("pinned in {}\n", folder.display()));
    table(&header, &rows) + &below.unwrap_or_default()
}
