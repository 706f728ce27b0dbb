//! The settings of this room.

use crate::pipeline::settings::Settings;
use crate::resilience::disk::DiskLimits;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};

/// Settings of disk, memory and time, after those of the pipeline.
pub const SETTINGS: &[OptionSpec] = &[
    OptionSpec::new(
        "disk_free_min",
        OptionKind::Bytes,
        "pause while a disk that is written to has less free than this, or than disk_free_min_share if that is less; \
         0: never",
    )
    .default("1GiB"),
    OptionSpec::new("disk_free_min_share", OptionKind::Number, "the same as a share of the disk, 0 to 1")
        .default("0.05"),
    OptionSpec::new(
        "disk_ballast",
        OptionKind::Bytes,
        "room kept in the checkpoint, once the disk gets full, to write the last commit with; 0: none",
    )
    .default("64MiB"),
    OptionSpec::new(
        "memory_limit",
        OptionKind::Bytes,
        "memory of the process: from 80 % epochs get smaller, at 95 % it ends (75) instead of being killed; \
         default: that of the control group or the machine; 0: not watched",
    ),
    OptionSpec::new(
        "epoch_time_target",
        OptionKind::Duration,
        "about how long an epoch takes at most: it reads less when sinks are slow; 0: always epoch_bytes_max",
    )
    .default("5s"),
    OptionSpec::new(
        "shutdown_grace",
        OptionKind::Duration,
        "how long a query that is asked to stop may take to finish its epoch; then the program ends at once (75)",
    )
    .default("30s"),
];

impl Settings {
    /// Memory of the process in bytes, when it is set; 0 for no watch.
    pub fn memory_limit(&self) -> Option<u64> {
        self.options.bytes("memory_limit")
    }

    /// About how long an epoch takes at most; zero for no such bound.
    pub fn epoch_time_target(&self) -> Duration {
        self.options.duration("epoch_time_target").unwrap_or(Duration::from_secs(5))
    }

    /// How long a query that is asked to stop may take.
    pub fn shutdown_grace(&self) -> Duration {
        self.options.duration("shutdown_grace").unwrap_or(Duration::from_secs(30))
    }

    /// When a disk is too full.
    pub fn disk_limits(&self) -> DiskLimits {
        DiskLimits {
            free_min: self.options.bytes("disk_free_min").unwrap_or(1 << 30),
            free_min_share: self.options.number("disk_free_min_share").unwrap_or(0.05).clamp(0.0, 1.0),
            ballast: self.options.bytes("disk_ballast").unwrap_or(64 << 20),
        }
    }
}
