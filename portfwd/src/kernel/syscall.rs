//! The bpf(2) commands that aya does not offer: batched lookups, test runs, run statistics.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

/// Calls bpf(2).
///
/// # Safety
/// `attr` must be what `command` expects: every address in it must be valid, for as many bytes
/// as the kernel reads or writes there.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<()> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: the attribute is as large as stated; the rest is the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            attr,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn empty_attr() -> bpf_attr {
    // SAFETY: a C union of integers; all zero bytes are valid.
    unsafe { zeroed() }
}

/// What a batched lookup returned.
pub(super) struct Batch {
    /// How many entries were written to the buffers.
    pub entries: usize,
    /// Where to go on; `None` after the last entry.
    pub next: Option<u32>,
}

/// Looks up the entries of a hash map from position `from` on, as many as the buffers hold.
///
/// # Errors
/// `ENOSPC` where one bucket has more entries than the buffers hold.
pub(super) fn lookup_batch(
    map: BorrowedFd<'_>,
    from: Option<u32>,
    (keys, key_size): (&mut [u8], usize),
    (values, value_size): (&mut [u8], usize),
) -> io::Result<Batch> {
    let room = (keys.len() / key_size).min(values.len() / value_size);
    let from = from.as_ref();
    let mut next = 0u32;
    let mut attr = empty_attr();
    // SAFETY: the fields are plain integers of the `batch` variant.
    let result = unsafe {
        attr.batch.in_batch = from.map_or(0, |from| std::ptr::from_ref(from) as u64);
        attr.batch.out_batch = &raw mut next as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = u32::try_from(room).unwrap_or(u32::MAX);
        attr.batch.map_fd = map.as_raw_fd() as u32;
        bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr)
    };
    // SAFETY: the kernel has written the number of entries.
    let entries = unsafe { attr.batch.count } as usize;
    match result {
        Ok(()) => Ok(Batch {
            entries,
            next: Some(next),
        }),
        // After the last bucket; what was found up to there is in the buffers.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Batch {
            entries,
            next: None,
        }),
        Err(error) => Err(error),
    }
}

/// What one BPF_PROG_TEST_RUN call did.
pub(super) struct TestRunResult {
    pub return_value: u32,
    pub data_len: usize,
}

/// Runs a loaded program `repeat` times on `input`; the packet after the last run is written to
/// `output`.
pub(super) fn test_run(
    program: BorrowedFd<'_>,
    input: &[u8],
    output: &mut [u8],
    context: &[u8],
    repeat: u32,
) -> io::Result<TestRunResult> {
    let too_long = |_| io::Error::from_raw_os_error(libc::E2BIG);
    let mut attr = empty_attr();
    // SAFETY: the fields are plain integers of the `test` variant; the buffers outlive the call.
    unsafe {
        attr.test.prog_fd = program.as_raw_fd() as u32;
        attr.test.data_in = input.as_ptr() as u64;
        attr.test.data_size_in = u32::try_from(input.len()).map_err(too_long)?;
        attr.test.data_out = output.as_mut_ptr() as u64;
        attr.test.data_size_out = u32::try_from(output.len()).map_err(too_long)?;
        attr.test.repeat = repeat;
        if !context.is_empty() {
            attr.test.ctx_in = context.as_ptr() as u64;
            attr.test.ctx_size_in = u32::try_from(context.len()).map_err(too_long)?;
        }
        bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
        Ok(TestRunResult {
            return_value: attr.test.retval,
            data_len: attr.test.data_size_out as usize,
        })
    }
}

/// How often a program ran and how long, as far as the kernel counted it (it counts only while
/// `kernel.bpf_stats_enabled` is set or somebody asks for it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Runs.
    pub run_count: u64,
    /// Nanoseconds in all runs.
    pub run_time_ns: u64,
}

/// Asks the kernel for a program's run statistics.
pub(super) fn run_stats(program: BorrowedFd<'_>) -> io::Result<RunStats> {
    // SAFETY: a C struct of integers; all zero bytes are valid.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attr = empty_attr();
    // SAFETY: the fields are plain integers of the `info` variant; `info` outlives the call and
    // is as large as stated.
    unsafe {
        attr.info.bpf_fd = program.as_raw_fd() as u32;
        attr.info.info = &raw mut info as u64;
        attr.info.info_len = size_of::<bpf_prog_info>() as u32;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    }
    Ok(RunStats {
        run_count: info.run_cnt,
        run_time_ns: info.run_time_ns,
    })
}
