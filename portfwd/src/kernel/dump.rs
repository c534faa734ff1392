//! Reading a whole flow map in batches: a million entries in a fraction of a second.

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use bytemuck::{AnyBitPattern, Pod};

use super::syscall::lookup_batch;

/// Entries per call; a call costs a system call and a lock per bucket, memory is the bound.
const BATCH: usize = 4096;

/// The entries of a hash map, read in batches as they are asked for. Entries that come and go
/// meanwhile may be seen or not; none is seen twice.
pub struct Entries<'a, K, V> {
    map: BorrowedFd<'a>,
    keys: Vec<u8>,
    values: Vec<u8>,
    filled: usize,
    at: usize,
    next: Next,
    types: PhantomData<(K, V)>,
}

#[derive(Clone, Copy)]
enum Next {
    From(Option<u32>),
    End,
}

impl<'a, K: Pod, V: Pod> Entries<'a, K, V> {
    pub(super) fn new(map: BorrowedFd<'a>) -> Self {
        Self {
            map,
            keys: vec![0; BATCH * size_of::<K>()],
            values: vec![0; BATCH * size_of::<V>()],
            filled: 0,
            at: 0,
            next: Next::From(None),
            types: PhantomData,
        }
    }

    /// Reads the next batch; whether there was one.
    fn refill(&mut self) -> io::Result<bool> {
        while let Next::From(from) = self.next {
            let keys = (&mut self.keys[..], size_of::<K>());
            let values = (&mut self.values[..], size_of::<V>());
            match lookup_batch(self.map, from, keys, values) {
                Ok(batch) => {
                    self.next = batch.next.map_or(Next::End, |next| Next::From(Some(next)));
                    self.filled = batch.entries;
                    self.at = 0;
                    if self.filled > 0 {
                        return Ok(true);
                    }
                }
                // One bucket has more entries than fit.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.keys.resize(self.keys.len() * 2, 0);
                    self.values.resize(self.values.len() * 2, 0);
                }
                Err(error) => {
                    self.next = Next::End;
                    return Err(error);
                }
            }
        }
        Ok(false)
    }
}

impl<K: Pod, V: Pod> Iterator for Entries<'_, K, V> {
    type Item = io::Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.filled {
            match self.refill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.at = self.filled;
                    return Some(Err(error));
                }
            }
        }
        let entry = (element(&self.keys, self.at), element(&self.values, self.at));
        self.at += 1;
        Some(Ok(entry))
    }
}

/// Element `index` of the `T`s whose bytes lie one behind the other in `bytes`.
fn element<T: AnyBitPattern>(bytes: &[u8], index: usize) -> T {
    let size = size_of::<T>();
    bytemuck::pod_read_unaligned(&bytes[index * size..(index + 1) * size])
}
