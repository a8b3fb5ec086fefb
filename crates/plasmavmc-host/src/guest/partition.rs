//! The master boot record: boot code and a partition table.
//!
//! Pure. GPT would serve UEFI alone; this table serves both firmwares. Tests: below.

/// Bytes of a sector, the unit of every number in the table.
pub(super) const SECTOR: u64 = 512;

/// Where the first partition begins, in bytes: 1 MiB, as partitioning tools align it.
pub(super) const FIRST_OFFSET: u64 = 1 << 20;

/// Bytes of boot code that fit before the disk's signature.
const BOOT_CODE: usize = 440;

/// What a partition holds, as the byte the table has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartitionType {
    /// 0xEF: the FAT partition UEFI boots from.
    EfiSystem,
    /// 0x83: a Linux file system.
    Linux,
}

/// A partition; the first of a table is the one a BIOS boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// What it holds.
    pub(super) kind: PartitionType,
    /// Where it begins, in bytes; a multiple of [`SECTOR`].
    pub(super) offset: u64,
    /// How long it is, in bytes; a multiple of [`SECTOR`].
    pub(super) size: u64,
}

/// Why a table cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A partition does not lie on sectors, or reaches past the 2 TiB the table can name.
    #[error("a partition of {size} bytes at {offset} cannot be described by a partition table")]
    Place {
        /// Where it should begin.
        offset: u64,
        /// How long it should be.
        size: u64,
    },
    /// The boot code is larger than the place for it.
    #[error("boot code of {size} bytes does not fit in {BOOT_CODE} bytes")]
    BootCode {
        /// Its size.
        size: usize,
    },
    /// More partitions than the table has rows.
    #[error("{count} partitions do not fit in a table of 4")]
    Count {
        /// How many.
        count: usize,
    },
}

/// The first sector of a disk: `boot_code`, the disk's `signature` and the table.
pub(super) fn master_boot_record(
    boot_code: &[u8],
    signature: u32,
    partitions: &[Partition],
) -> Result<[u8; SECTOR as usize], TableError> {
    if boot_code.len() > BOOT_CODE {
        return Err(TableError::BootCode { size: boot_code.len() });
    }
    if partitions.len() > 4 {
        return Err(TableError::Count { count: partitions.len() });
    }
    let mut sector = [0; SECTOR as usize];
    sector[..boot_code.len()].copy_from_slice(boot_code);
    sector[BOOT_CODE..BOOT_CODE + 4].copy_from_slice(&signature.to_le_bytes());
    for (index, partition) in partitions.iter().enumerate() {
        let at = 446 + index * 16;
        sector[at..at + 16].copy_from_slice(&row(partition, index == 0)?);
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

fn row(partition: &Partition, active: bool) -> Result<[u8; 16], TableError> {
    let Partition { kind, offset, size } = *partition;
    let sectors = |bytes: u64| {
        let whole = bytes.is_multiple_of(SECTOR).then_some(bytes / SECTOR);
        whole.and_then(|count| u32::try_from(count).ok()).ok_or(TableError::Place { offset, size })
    };
    let (start, length) = (sectors(offset)?, sectors(size)?);
    start.checked_add(length).filter(|_| length > 0).ok_or(TableError::Place { offset, size })?;
    let mut row = [0; 16];
    row[0] = if active { 0x80 } else { 0 };
    // Cylinder, head and sector are written as "too large", which makes readers use the sectors.
    row[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    row[4] = match kind {
        PartitionType::EfiSystem => 0xef,
        PartitionType::Linux => 0x83,
    };
    row[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    row[8..12].copy_from_slice(&start.to_le_bytes());
    row[12..].copy_from_slice(&length.to_le_bytes());
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Partition =
        Partition { kind: PartitionType::EfiSystem, offset: FIRST_OFFSET, size: 64 << 20 };

    #[test]
    fn the_table_is_laid_out_as_firmware_reads_it() {
        let root = Partition { kind: PartitionType::Linux, offset: 65 << 20, size: 1 << 30 };
        let sector = master_boot_record(&[0xfa; 440], 0x0102_0304, &[BOOT, root]).unwrap();
        assert_eq!(sector[439..446], [0xfa, 4, 3, 2, 1, 0, 0]);
        let first = [0x80, 0xfe, 0xff, 0xff, 0xef, 0xfe, 0xff, 0xff, 0, 8, 0, 0, 0, 0, 2, 0];
        let second = [0, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff, 0, 8, 2, 0, 0, 0, 32, 0];
        assert_eq!(sector[446..462], first);
        assert_eq!(sector[462..478], second);
        assert_eq!(sector[478..], [[0; 32].as_slice(), &[0x55, 0xaa]].concat());
    }

    #[test]
    fn what_a_table_cannot_hold_is_refused() {
        let place = |offset, size| {
            let partition = Partition { offset, size, ..BOOT };
            master_boot_record(&[], 0, &[partition]).unwrap_err()
        };
        for (offset, size) in
            [(0, 0), (1, 512), (512, 1), (512, 1 << 41), (1 << 41, 512), ((1 << 41) - 512, 512)]
        {
            assert_eq!(place(offset, size), TableError::Place { offset, size });
        }
        let large = master_boot_record(&[0; 441], 0, &[BOOT]).unwrap_err();
        assert_eq!(large, TableError::BootCode { size: 441 });
        assert_eq!(master_boot_record(&[], 0, &[BOOT; 5]).unwrap_err(), TableError::Count { count: 5 });
    }
}
