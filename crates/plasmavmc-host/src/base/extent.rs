//! How long a qcow2 file must at least be, by its reference counts.
//!
//! Every cluster in use has a reference count, so the last count that is not zero tells where the
//! file ends: two reads find an image whose download stopped, wherever it stopped. Tests:
//! `tests/qcow2_oracle.rs`, with images made and cut there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::qcow2::Header;

/// Most refcount blocks that are looked at, from the last: more than one is needed only where the
/// end of an image was freed.
const MAX_BLOCKS: usize = 16;

/// The bits of a refcount table entry that are an offset.
const OFFSET_MASK: u64 = !0x1ff;

/// The least length in bytes of a file with this header and these reference counts. `len` is its
/// real length.
pub(super) fn least_len(file: &File, header: &Header, len: u64) -> io::Result<u64> {
    let by_header = header.least_len();
    if by_header > len {
        return Ok(by_header);
    }
    let table = header.refcount_table;
    let bytes = read(file, table.offset, table.entries * 8)?;
    let blocks = bytes
        .chunks_exact(8)
        .map(|entry| entry.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)) & OFFSET_MASK)
        .enumerate()
        .filter(|(_, offset)| *offset != 0);
    let counts_per_block = header.cluster_size() * 8 / u64::from(header.refcount_bits);
    let last_blocks: Vec<_> = blocks.collect();
    for &(index, offset) in last_blocks.iter().rev().take(MAX_BLOCKS) {
        let end = offset.saturating_add(header.cluster_size());
        if end > len {
            return Ok(end);
        }
        let block = read(file, offset, header.cluster_size())?;
        if let Some(count) = last_count(&block, header.refcount_bits) {
            let cluster = (index as u64).saturating_mul(counts_per_block).saturating_add(count);
            // One byte of the last cluster: that of a compressed image may end anywhere.
            let needed = cluster.saturating_mul(header.cluster_size()).saturating_add(1);
            return Ok(needed.max(by_header));
        }
    }
    Ok(by_header)
}

/// The index of the last reference count in `block` that is not zero.
///
/// Counts of less than a byte begin at its lowest bit; wider ones are big-endian.
fn last_count(block: &[u8], bits: u32) -> Option<u64> {
    let at = block.iter().rposition(|&byte| byte != 0)?;
    let at_bits = at as u64 * 8;
    if bits >= 8 {
        return Some(at_bits / u64::from(bits));
    }
    Some((at_bits + u64::from(7 - block[at].leading_zeros())) / u64::from(bits))
}

fn read(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_count_is_found_in_every_width() {
        for (block, bits, expected) in [
            (vec![0, 1, 0, 1, 0, 0], 16, Some(1)),
            (vec![1, 0, 0, 0], 16, Some(0)),
            (vec![0, 0, 0, 9, 0, 0, 0, 0], 32, Some(0)),
            (vec![0b0000_0001, 0], 1, Some(0)),
            (vec![0b1000_0001, 0b0000_0100], 1, Some(10)),
            (vec![0, 0b0100_0000], 4, Some(3)),
            (vec![0, 7, 0], 8, Some(1)),
            (vec![0; 8], 16, None),
        ] {
            assert_eq!(last_count(&block, bits), expected, "{block:?} with {bits} bits");
        }
    }
}
