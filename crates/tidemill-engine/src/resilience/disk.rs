//! The room on the disks a query writes to: looked at before every epoch, so that a full disk makes the query wait
//! instead of fail.

use super::ballast::Ballast;
use super::stall::{Reason, Stall};
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::path::{Path, PathBuf};

/// When a disk is too full to begin an epoch: less is free than both of these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskLimits {
    /// In bytes.
    pub free_min: u64,
    /// As a share of the disk, 0 to 1.
    pub free_min_share: f64,
    /// Room held for the last commit, in bytes.
    pub ballast: u64,
}

impl DiskLimits {
    /// Least free bytes of a disk of this size.
    fn of(&self, size: u64) -> u64 {
        self.free_min.min((size as f64 * self.free_min_share) as u64)
    }
}

/// The room of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may be written.
    pub free: u64,
    /// All bytes of it; 0 when it does not say.
    pub size: u64,
    /// Nothing may be written at all.
    pub read_only: bool,
    /// No file can be made, however small.
    pub files_used_up: bool,
}

impl Room {
    /// That of the disk a path is on, or will be on; `None` when the system does not say.
    pub fn at(path: &Path) -> Option<Room> {
        let nearest = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let found = statvfs(nearest).ok()?;
        Some(Room {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            size: found.f_blocks.saturating_mul(found.f_frsize),
            read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
            files_used_up: found.f_files > 0 && found.f_favail == 0,
        })
    }
}

/// The disks of a query.
#[derive(Debug)]
pub struct Disks {
    limits: DiskLimits,
    /// The checkpoint first.
    places: Vec<PathBuf>,
    ballast: Ballast,
}

impl Disks {
    /// Those of a checkpoint and of the directories that sinks write into.
    pub fn new(checkpoint: &Path, sinks: impl IntoIterator<Item = PathBuf>, limits: DiskLimits) -> Self {
        let ballast = Ballast::new(checkpoint, limits.ballast);
        let mut places = vec![checkpoint.to_owned()];
        places.extend(sinks);
        places.dedup();
        Disks { limits, places, ballast }
    }

    /// Where they are.
    pub fn places(&self) -> &[PathBuf] {
        &self.places
    }

    /// Why no epoch may begin; `None` when one may. Keeps the ballast.
    pub fn look(&mut self) -> Option<Stall> {
        let rooms: Vec<(PathBuf, Option<Room>)> =
            self.places.iter().map(|place| (place.clone(), Room::at(place))).collect();
        if let Some((_, Some(room))) = rooms.first() {
            self.ballast.keep(room.free, self.limits.of(room.size));
        }
        rooms.iter().find_map(|(place, room)| shortage(place, &(*room)?, &self.limits))
    }

    /// Gives the ballast's room to whoever writes next; false when there is none.
    pub fn throw_ballast(&self) -> bool {
        self.ballast.throw()
    }
}

fn shortage(place: &Path, room: &Room, limits: &DiskLimits) -> Option<Stall> {
    let least = limits.of(room.size);
    let place = place.display();
    let message = if room.read_only {
        format!("the disk of {place} is mounted read-only")
    } else if room.files_used_up {
        format!("the disk of {place} has room for no more files")
    } else if room.free < least {
        format!("the disk of {place} has {} free of {}, less than {}", mib(room.free), mib(room.size), mib(least))
    } else {
        return None;
    };
    Some(Stall { reason: Reason::Disk, message })
}

/// A size for people.
fn mib(bytes: u64) -> String {
    if bytes < 10 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DiskLimits = DiskLimits { free_min: 1 << 30, free_min_share: 0.05, ballast: 0 };

    fn room(free: u64, size: u64) -> Room {
        Room { free, size, read_only: false, files_used_up: false }
    }

    #[test]
    fn a_large_disk_needs_a_gibibyte_and_a_small_one_a_share() {
        let place = Path::new("/data");
        let short = |free, size| shortage(place, &room(free, size), &LIMITS).map(|stall| stall.message);
        assert_eq!(short(2 << 30, 1 << 40), None, "less than a share, and enough");
        assert!(short(1 << 29, 1 << 40).unwrap().contains("has 512 MiB free of 1048576 MiB, less than 1024 MiB"));
        assert_eq!(short(1 << 20, 16 << 20), None);
        assert!(short(100 << 10, 16 << 20).unwrap().contains("has 100 KiB free of 16 MiB, less than 819 KiB"));
        assert_eq!(short(0, 0), None, "a disk that does not say how large it is");
        let off = DiskLimits { free_min: 0, ..LIMITS };
        assert_eq!(shortage(place, &room(0, 1 << 40), &off), None);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_short_whatever_is_free() {
        let place = Path::new("/data");
        let read_only = Room { read_only: true, ..room(1 << 40, 1 << 41) };
        assert!(shortage(place, &read_only, &LIMITS).unwrap().message.contains("read-only"));
        let no_files = Room { files_used_up: true, ..room(1 << 40, 1 << 41) };
        assert!(shortage(place, &no_files, &LIMITS).unwrap().message.contains("no more files"));
    }

    #[test]
    fn the_room_of_a_directory_to_come_is_that_of_the_one_above() {
        let directory = tempfile::tempdir().unwrap();
        let room = Room::at(&directory.path().join("a/b")).unwrap();
        assert_eq!(room.size, Room::at(directory.path()).unwrap().size);
        assert!(room.size > 0 && !room.read_only);
    }
}
