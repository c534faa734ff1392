//! Both programs pass the verifier, silent and verbose, with room to spare.
use portfwd::kernel::{Load, TestRun};

/// The verifier gives up after a million instructions.
const LIMIT: u32 = 1_000_000;

#[test]
fn both_programs_load_with_room_to_spare() -> anyhow::Result<()> {
    for verbosity in 0..=2 {
        let load = Load {
            max_flows: 1024,
            max_half_open: 1024,
            verbosity,
        };
        for program in TestRun::load(&load)?.programs()? {
            let verified = program.verified_instructions.unwrap_or(LIMIT);
            println!(
                "verbosity {verbosity}: {} {verified} instructions verified",
                program.name
            );
            assert!(verified < LIMIT / 2, "{} takes {verified}", program.name);
        }
    }
    Ok(())
}
