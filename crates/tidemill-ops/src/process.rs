//! What this process uses: processor time, memory, open files. Read from Linux's `/proc`; elsewhere,
//! and for what cannot be read, it is not known.

use std::path::{Path, PathBuf};

/// Entry of the auxiliary vector that holds the clock ticks of a second (`AT_CLKTCK` in `getauxval(3)`).
const AT_CLKTCK: u64 = 17;

/// Clock ticks of a second when the system does not say: Linux shows all programs 100.
const TICKS: u64 = 100;

/// What a process uses; `None` for what is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time of all threads, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory resident now, in bytes.
    pub resident_bytes: Option<u64>,
    /// The most that ever was resident, in bytes.
    pub peak_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_files: Option<u64>,
}

/// Reads what a process uses.
#[derive(Debug, Clone)]
pub struct ProcessMeter {
    directory: PathBuf,
}

impl ProcessMeter {
    /// Of this process.
    pub fn this() -> Self {
        Self::at(Path::new("/proc/self"))
    }

    /// Of the process that a directory such as `/proc/4711` shows.
    pub fn at(directory: &Path) -> Self {
        ProcessMeter { directory: directory.to_owned() }
    }

    /// What it uses now.
    pub fn read(&self) -> Usage {
        let text = |name: &str| std::fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        let status = text("status");
        let open = std::fs::read_dir(self.directory.join("fd")).ok();
        Usage {
            cpu_seconds: cpu_ticks(&text("stat")).map(|ticks| ticks as f64 / self.ticks_per_second() as f64),
            resident_bytes: kilobytes(&status, "VmRSS:"),
            peak_bytes: kilobytes(&status, "VmHWM:"),
            open_files: open.map(|open| open.count() as u64),
        }
    }

    fn ticks_per_second(&self) -> u64 {
        let vector = std::fs::read(self.directory.join("auxv")).unwrap_or_default();
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        let found = vector.chunks_exact(16).find(|entry| word(&entry[..8]) == AT_CLKTCK);
        found.map(|entry| word(&entry[8..])).filter(|ticks| *ticks > 0).unwrap_or(TICKS)
    }
}

/// User and system time in `stat`. The name before them is in parentheses and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_as_linux_writes_them() {
        let directory = tempfile::tempdir().unwrap();
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 3 0 100 1000 9 1 1 1 1 0 0 0 0";
        std::fs::write(directory.path().join("stat"), stat).unwrap();
        std::fs::write(directory.path().join("status"), "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\n").unwrap();
        let usage = ProcessMeter::at(directory.path()).read();
        assert_eq!(usage.cpu_seconds, Some(3.0));
        assert_eq!((usage.resident_bytes, usage.peak_bytes), (Some(1 << 20), Some(2 << 20)));
        assert_eq!(usage.open_files, None);
        let vector: Vec<u8> = [6u64, 4096, AT_CLKTCK, 50, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        std::fs::write(directory.path().join("auxv"), vector).unwrap();
        assert_eq!(ProcessMeter::at(directory.path()).read().cpu_seconds, Some(6.0));
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        assert_eq!(ProcessMeter::at(Path::new("/nowhere")).read(), Usage::default());
        assert_eq!(cpu_ticks("7 (x) S 1"), None);
        assert_eq!(kilobytes("VmRSS: many kB", "VmRSS:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something() {
        let usage = ProcessMeter::this().read();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000) && usage.cpu_seconds.is_some(), "{usage:?}");
    }
}
