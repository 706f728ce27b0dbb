//! How much of its memory a query's process uses: read from `/proc` and the control group (v1 and v2), so that it ends
//! by itself, with a reason, before the kernel ends it without one.

use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind};

/// From this share of the limit on, epochs are made smaller and what can be given back is.
pub const SOFT: f64 = 0.80;

/// From this share on, no epoch begins.
pub const HARD: f64 = 0.95;

/// A control group's limit above this is none: v1 writes the largest multiple of a page.
const UNLIMITED: u64 = 1 << 60;

/// Memory in use, and what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that the kernel cannot take back by dropping pages of files.
    pub used: u64,
    /// Most bytes before the process is ended.
    pub limit: u64,
}

impl Memory {
    /// The share in use.
    pub fn share(&self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }

    /// Bytes left before no epoch begins.
    pub fn left(&self) -> u64 {
        ((self.limit as f64 * HARD) as u64).saturating_sub(self.used)
    }

    /// What a query says that ends because of it.
    pub fn exhausted(&self, epoch: Epoch) -> Error {
        let (used, limit) = (self.used >> 20, self.limit >> 20);
        let percent = (self.share() * 100.0).round();
        Error::new(
            Kind::Again,
            format!("memory is used up: {used} MiB of {limit} MiB ({percent} %); stopped at epoch {epoch}"),
        )
        .class("MEMORY_LIMIT_EXCEEDED")
        .help(
            "nothing is lost, and it may be started again at once. If it ends here again, its state does not fit: \
             SET state_backend = 'rocksdb', raise the memory limit, or bound the state with a watermark",
        )
    }
}

/// Watches the memory of this process.
#[derive(Debug, Clone)]
pub struct MemoryWatch {
    process: PathBuf,
    /// The user's limit for the process alone, in bytes; 0 for no watch at all.
    own: Option<u64>,
    groups: Vec<Group>,
    machine: Option<u64>,
}

/// A control group that has a limit.
#[derive(Debug, Clone)]
struct Group {
    limit: u64,
    usage: PathBuf,
    statistics: PathBuf,
}

impl MemoryWatch {
    /// Of this process, with the user's limit in bytes: 0 watches nothing, `None` takes what the control group or
    /// the machine has.
    pub fn this(own: Option<u64>) -> Self {
        Self::at(Path::new("/proc"), Path::new("/sys/fs/cgroup"), own)
    }

    fn at(proc: &Path, groups: &Path, own: Option<u64>) -> Self {
        let membership = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
        let information = std::fs::read_to_string(proc.join("meminfo")).unwrap_or_default();
        let machine = kilobytes(&information, "MemTotal:");
        MemoryWatch { process: proc.join("self/status"), own, groups: limited(groups, &membership), machine }
    }

    /// What is in use of the limit that is nearest; `None` when there is none or it is not known.
    pub fn look(&self) -> Option<Memory> {
        if self.own == Some(0) {
            return None;
        }
        let status = std::fs::read_to_string(&self.process).unwrap_or_default();
        // a kernel that does not tell them apart counts pages of files too
        let apart = kilobytes(&status, "RssAnon:").map(|own| own + kilobytes(&status, "RssShmem:").unwrap_or(0));
        let process = apart.or_else(|| kilobytes(&status, "VmRSS:"));
        let limit = self.own.into_iter().chain(self.machine).min();
        let of_process = process.zip(limit).map(|(used, limit)| Memory { used, limit });
        let of_groups = self.groups.iter().filter_map(Group::memory);
        of_process.into_iter().chain(of_groups).max_by(|one, other| one.share().total_cmp(&other.share()))
    }
}

impl Group {
    fn memory(&self) -> Option<Memory> {
        let usage: u64 = std::fs::read_to_string(&self.usage).ok()?.trim().parse().ok()?;
        let statistics = std::fs::read_to_string(&self.statistics).unwrap_or_default();
        let of = |name: &str| {
            let line = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        // v1 has the sums over groups below under names of their own
        let files = |name: &str| of(&format!("total_{name}")).or_else(|| of(name)).unwrap_or(0);
        let reclaimable = files("active_file") + files("inactive_file");
        Some(Memory { used: usage.saturating_sub(reclaimable), limit: self.limit })
    }
}

/// The groups of a process that have a limit: its own and all above it.
fn limited(root: &Path, membership: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, limit, usage) = if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes")
        } else if number == "0" && controllers.is_empty() {
            (root.to_owned(), "memory.max", "memory.current")
        } else {
            continue;
        };
        // in a container the path is that of the host, and the root is the container's own group
        for ancestor in Path::new(path.trim_start_matches('/')).ancestors() {
            let directory = root.join(ancestor);
            let bytes = std::fs::read_to_string(directory.join(limit)).ok();
            let bytes = bytes.and_then(|text| text.trim().parse().ok()).filter(|bytes| *bytes < UNLIMITED);
            found.extend(bytes.map(|limit| Group {
                limit,
                usage: directory.join(usage),
                statistics: directory.join("memory.stat"),
            }));
        }
    }
    found
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    fn look(root: &tempfile::TempDir, own: Option<u64>) -> Option<Memory> {
        MemoryWatch::at(&root.path().join("proc"), &root.path().join("cgroup"), own).look()
    }

    const STATUS: (&str, &str) =
        ("proc/self/status", "Name:\tx\nRssAnon:\t 2048 kB\nRssShmem:\t 0 kB\nVmRSS:\t 9999 kB\n");
    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       8192 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_first_version_of_control_groups() {
        let root = written(&[
            STATUS,
            MACHINE,
            ("proc/self/cgroup", "5:devices:/\n4:memory:/a/b\n0::/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cgroup/memory/a/memory.limit_in_bytes", "4194304\n"),
            ("cgroup/memory/a/memory.usage_in_bytes", "4000000\n"),
            ("cgroup/memory/a/memory.stat", "inactive_file 5\ntotal_inactive_file 500000\ntotal_active_file 300000\n"),
        ]);
        assert_eq!(look(&root, None), Some(Memory { used: 3_200_000, limit: 4 << 20 }), "a group above counts");
    }

    #[test]
    fn the_second_version_and_the_root_of_a_container() {
        let group = [
            ("cgroup/memory.max", "3145728\n"),
            ("cgroup/memory.current", "3000000\n"),
            ("cgroup/memory.stat", "anon 1\ninactive_file 100000\nactive_file 0\n"),
        ];
        let mut files = vec![STATUS, MACHINE, ("proc/self/cgroup", "0::/kubepods/pod1\n")];
        files.extend(group);
        let root = written(&files);
        assert_eq!(look(&root, None), Some(Memory { used: 2_900_000, limit: 3 << 20 }));
        assert_eq!(look(&root, Some(2 << 20)), Some(Memory { used: 2 << 20, limit: 2 << 20 }), "the user's is nearer");
        assert_eq!(look(&root, Some(0)), None);
    }

    #[test]
    fn without_groups_it_is_the_machine() {
        let root = written(&[STATUS, MACHINE, ("proc/self/cgroup", "0::/\n"), ("cgroup/memory.max", "max\n")]);
        let memory = look(&root, None).unwrap();
        assert_eq!(memory, Memory { used: 2 << 20, limit: 8 << 20 });
        assert_eq!(memory.left(), (8.0 * 1024.0 * 1024.0 * HARD) as u64 - (2 << 20));
        assert_eq!(look(&written(&[]), None), None);
    }

    #[test]
    fn a_query_that_ends_because_of_it_may_be_started_again() {
        let error = Memory { used: 250 << 20, limit: 256 << 20 }.exhausted(Epoch(7));
        assert_eq!(error.kind(), Kind::Again);
        assert!(error.to_string().contains("250 MiB of 256 MiB (98 %); stopped at epoch 7"), "{error}");
    }
}
