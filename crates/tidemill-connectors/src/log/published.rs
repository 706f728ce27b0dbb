//! The file `published`: the sequence of the newest *durable* commit, written in place after the
//! commit's sync. It is what readers look at, and its change wakes them.
//!
//! It need not be durable itself: after a restart of the machine every commit frame that is there is
//! durable, so a `published` of an earlier boot is passed over.
//!
//! ```text
//! sequence u64
//! boot     16 bytes  identity of the machine's boot
//! checksum u32       CRC-32 of the 24 bytes before
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tidemill_core::{Error, Result};

const BYTES: usize = 28;
const READS_MAX: usize = 100;

/// Identity of the machine's boot; zeros where the system has none.
pub(crate) fn boot() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| uuid::Uuid::parse_str(text.trim()).ok())
        .map_or([0; 16], uuid::Uuid::into_bytes)
}

/// Writes `sequence`.
pub(crate) fn write(file: &File, boot: [u8; 16], sequence: u64) -> io::Result<()> {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    bytes[8..24].copy_from_slice(&boot);
    let checksum = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&bytes, 0)
}

/// The newest commit that readers may see; `None` when that is every whole one.
///
/// # Errors
/// The file cannot be read, or never becomes whole.
pub(crate) fn read(file: &File, path: &Path, boot: [u8; 16]) -> Result<Option<u64>> {
    let mut bytes = [0; BYTES];
    for _ in 0..READS_MAX {
        let outcome = file.read_exact_at(&mut bytes, 0);
        outcome.map_err(|cause| Error::io(format!("cannot read {}", path.display()), cause))?;
        let (content, checksum) = bytes.split_at(24);
        // a read may meet a write that is going on
        if crc32fast::hash(content).to_le_bytes() == checksum {
            let mut sequence = [0; 8];
            sequence.copy_from_slice(&content[..8]);
            return Ok((content[8..] == boot).then(|| u64::from_le_bytes(sequence)));
        }
        std::thread::yield_now();
    }
    Err(Error::invalid(format!("{} is damaged: wrong checksum", path.display()))
        .help("open the topic for writing once: that mends the file"))
}
