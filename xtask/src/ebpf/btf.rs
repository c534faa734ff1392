//! Making an object's BTF the same from run to run.
//!
//! LLVM ends the BTF with forward declarations of the structs that are only pointed to, in the
//! order of their addresses in its memory. Here they are put in the order of their names: the
//! declarations, their names at the end of the string table, and the references to them.
//! Nothing changes its size, so that the rest of the object stays as it is.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};

const HEADER: usize = 24;
const MAGIC: u16 = 0xeb9f;
/// Bytes of a type before what its kind adds: name, info, and size or type.
const TYPE: usize = 12;
const FORWARD: u32 = 7;
/// Pointer, typedef, volatile, const, restrict, type tag: one reference, in the third word.
const REFERRING: [u32; 6] = [2, 8, 9, 10, 11, 18];

/// Puts the forward declarations of `object`, an ELF file, into the order of their names.
///
/// # Errors
/// Where there is no BTF, or none of the known form.
pub fn sort_forwards(object: &mut [u8]) -> Result<()> {
    let file = object::File::parse(&*object).context("the linker's output is no ELF file")?;
    let section = file.section_by_name(".BTF").context("it has no BTF")?;
    let (start, size) = section.file_range().context("its BTF is not in the file")?;
    let (start, size) = (usize::try_from(start)?, usize::try_from(size)?);
    let btf = object.get_mut(start..start + size);
    sort(btf.context("its BTF ends outside of the file")?)
}

fn sort(btf: &mut [u8]) -> Result<()> {
    ensure!(btf.len() >= HEADER, "the BTF has no header");
    let magic = u16::from_le_bytes([btf[0], btf[1]]);
    ensure!(magic == MAGIC, "the BTF's magic number is {magic:#06x}");
    let header: Vec<_> = (4..HEADER).step_by(4).map(|at| word(btf, at)).collect();
    let [header_len, types_at, types_len, strings_at, strings_len] = header[..] else {
        bail!("the BTF's header is too short");
    };
    let end = header_len + (types_at + types_len).max(strings_at + strings_len);
    ensure!(end as usize <= btf.len(), "the BTF is cut off");
    let (_, body) = btf.split_at_mut(header_len as usize);
    ensure!(
        types_at + types_len <= strings_at,
        "the BTF's strings come before its types"
    );
    let (types, strings) = body.split_at_mut(strings_at as usize);
    sort_types(
        &mut types[types_at as usize..][..types_len as usize],
        &mut strings[..strings_len as usize],
    )
}

/// A forward declaration: its id, its words, and its name with the zero that ends it.
#[derive(Clone)]
struct Forward {
    id: u32,
    name_at: u32,
    info: u32,
    name: Vec<u8>,
}

fn sort_types(types: &mut [u8], strings: &mut [u8]) -> Result<()> {
    let offsets = offsets(types)?;
    let is_forward = |at: &&usize| kind(word(types, **at + 4)) == FORWARD;
    let count = offsets.iter().rev().take_while(is_forward).count();
    let first = offsets.len() - count;
    let mut forwards = Vec::new();
    for (index, at) in offsets.iter().enumerate().skip(first) {
        let name_at = word(types, *at);
        let rest = strings.get(name_at as usize..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == 0);
        forwards.push(Forward {
            id: u32::try_from(index)? + 1, // 0 is `void`
            name_at,
            info: word(types, *at + 4),
            name: rest[..=len.context("a name in the BTF has no end")?].to_vec(),
        });
    }

    let mut sorted = forwards.clone();
    sorted.sort_by(|one, other| (&one.name, one.info).cmp(&(&other.name, other.info)));
    let others = offsets[..first].iter().map(|at| word(types, *at));
    let names_at = names_at_the_end(&forwards, &others.collect(), strings.len());
    let mut name_at = names_at;
    let mut new_ids = HashMap::new();
    for (index, forward) in sorted.iter().enumerate() {
        let own = forward.name_at as usize >= names_at;
        let place = if own {
            name_at
        } else {
            forward.name_at as usize
        };
        if own {
            strings[place..place + forward.name.len()].copy_from_slice(&forward.name);
            name_at += forward.name.len();
        }
        let at = offsets[first + index];
        set_word(types, at, u32::try_from(place)?);
        set_word(types, at + 4, forward.info);
        new_ids.insert(forward.id, u32::try_from(first + index)? + 1);
    }
    for at in offsets {
        if REFERRING.contains(&kind(word(types, at + 4)))
            && let Some(id) = new_ids.get(&word(types, at + 8))
        {
            set_word(types, at + 8, *id);
        }
    }
    Ok(())
}

/// Where the names begin that no other type has, one after the other up to the table's end: LLVM
/// adds them last. A name that something else has too is further ahead, and stays there.
fn names_at_the_end(forwards: &[Forward], others: &HashSet<u32>, strings_len: usize) -> usize {
    let mut end = strings_len;
    while let Some(last) = forwards.iter().find(|forward| {
        forward.name_at as usize + forward.name.len() == end && !others.contains(&forward.name_at)
    }) {
        end = last.name_at as usize;
    }
    end
}

/// Where each type begins; the kernel's Documentation/bpf/btf.rst has their sizes.
fn offsets(types: &[u8]) -> Result<Vec<usize>> {
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < types.len() {
        ensure!(
            at + TYPE <= types.len(),
            "the last type of the BTF is cut off"
        );
        offsets.push(at);
        let info = word(types, at + 4);
        let members = (info & 0xffff) as usize;
        at += TYPE
            + match kind(info) {
                2 | 7..=12 | 16 | 18 => 0,
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * members,
                6 | 13 => 8 * members,
                other => bail!("the BTF has a type of the unknown kind {other}"),
            };
    }
    Ok(offsets)
}

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn set_word(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer `int`, a pointer to each forward declaration, and those in the given order.
    /// `int` is also the name of a forward declaration, which therefore is not at the end.
    fn btf(order: [&str; 3]) -> Vec<u8> {
        let mut strings = b"\0int\0".to_vec();
        let mut names = HashMap::from([("int", 1_u32)]);
        for name in order {
            names.entry(name).or_insert_with(|| {
                let at = strings.len() as u32;
                strings.extend(name.bytes().chain([0]));
                at
            });
        }
        let mut words = vec![1, 1 << 24, 4, 32];
        for name in ["zebra", "ant", "int"] {
            let position = order.iter().position(|other| *other == name);
            let id = 5 + position.expect("every name is in the order") as u32;
            words.extend([0, 2 << 24, id]);
        }
        for name in order {
            words.extend([names[name], FORWARD << 24, 0]);
        }
        let (types, strings_len) = (words.len() as u32 * 4, strings.len() as u32);
        let mut btf = MAGIC.to_le_bytes().to_vec();
        btf.extend([1, 0]);
        let header = [HEADER as u32, 0, types, types, strings_len];
        btf.extend(
            header
                .iter()
                .chain(&words)
                .flat_map(|word| word.to_le_bytes()),
        );
        btf.extend(strings);
        btf
    }

    #[test]
    fn every_order_becomes_that_of_the_names() {
        let sorted = btf(["ant", "int", "zebra"]);
        for order in [
            ["ant", "int", "zebra"],
            ["zebra", "ant", "int"],
            ["int", "zebra", "ant"],
        ] {
            let mut btf = btf(order);
            sort(&mut btf).expect("it is well formed");
            assert_eq!(btf, sorted, "{order:?}");
        }
    }

    #[test]
    fn what_is_no_btf_is_refused() {
        let whole = btf(["ant", "int", "zebra"]);
        for len in [0, 10, HEADER, whole.len() - 1] {
            sort(&mut whole[..len].to_vec()).expect_err("it is cut off");
        }
        let mut other = whole;
        other[0] = 0;
        sort(&mut other).expect_err("its magic number is another");
    }
}
