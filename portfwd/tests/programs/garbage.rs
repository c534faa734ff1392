//! 100,000 mutated packets through both programs: each ends in one counted outcome, the kernel's
//! verdict is one that the programs know, and what is passed or dropped was not touched.

use anyhow::Result;
use portfwd::kernel::{Hook, TestRunOutput};
use portfwd_common::testing::frames::Path;
use portfwd_common::testing::{Setup, cases};

use crate::setup::{ended, loaded};

const PACKETS: u32 = 100_000;
/// The shortest frame that the kernel makes a socket buffer of, for a test run: the whole IP
/// header that its Ethernet type announces.
const SHORTEST: usize = 34;
const SHORTEST_IPV6: usize = 54;

/// xorshift64 (Marsaglia): the same packets in every run, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A frame with a few bytes changed, cut, or grown by garbage.
fn mutate(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(frame.len());
        frame[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => frame[at] ^ (1 << random.below(8)),
            _ => random.below(256) as u8,
        };
    }
    match random.below(8) {
        0 => frame.truncate(SHORTEST.max(random.below(frame.len() + 1))),
        1 => frame.extend((0..random.below(64)).map(|byte| byte as u8)),
        _ => {}
    }
    if frame[12..14] == [0x86, 0xdd] && frame.len() < SHORTEST_IPV6 {
        frame.resize(SHORTEST_IPV6, 0);
    }
    frame
}

fn run(hook: Hook) -> Result<()> {
    let datapath = loaded(&Setup::plain())?;
    let mut seeds: Vec<Vec<u8>> = cases()
        .iter()
        .flat_map(|case| case.steps.iter().map(|step| step.frame.clone()))
        .filter(|frame| frame.len() >= SHORTEST)
        .collect();
    seeds.push(Path::from_client(5000, 81).tcp("PA", &[b'x'; 1400]));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let before = ended(&datapath.maps)?;
    let (mut sent, mut passed, mut dropped) = (0, 0, 0);
    for number in 0..PACKETS {
        let seed = random.below(seeds.len());
        let frame = mutate(&mut random, &seeds[seed]);
        match datapath.run(hook, &frame)? {
            TestRunOutput::Sent(bytes) => {
                assert_eq!(
                    bytes.len(),
                    frame.len(),
                    "packet {number}: the length changed"
                );
                sent += 1;
            }
            TestRunOutput::Passed(bytes) => {
                assert_eq!(
                    bytes, frame,
                    "packet {number} was passed, but not as it came"
                );
                passed += 1;
            }
            TestRunOutput::Dropped => dropped += 1,
            TestRunOutput::Other(action) => panic!("packet {number} gave action {action}"),
        }
    }
    let ended = ended(&datapath.maps)? - before;
    println!("{hook:?}: {sent} sent, {passed} passed, {dropped} dropped");
    assert_eq!(ended, u64::from(PACKETS), "each packet has one outcome");
    assert!(
        sent > 1000 && passed > 1000 && dropped > 1000,
        "the mutations reach every outcome"
    );
    Ok(())
}

#[test]
fn through_the_xdp_program() -> Result<()> {
    run(Hook::Xdp)
}

#[test]
fn through_the_tc_program() -> Result<()> {
    run(Hook::Tc)
}
