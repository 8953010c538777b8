//! What machine was measured. Facts that cannot be had are left out, never guessed.

use std::fs;

/// The machine, for people who compare numbers.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) cpu: Option<String>,
    pub(super) cores: Option<usize>,
}

impl Host {
    pub(super) fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu =
            info.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned()));
        Self { cpu, cores: std::thread::available_parallelism().map(usize::from).ok() }
    }
}

/// Memory of a process in bytes, where the system tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// The most that was ever resident.
    pub(super) peak: u64,
}

impl Memory {
    /// `process`: a process id, or `self`.
    pub(super) fn of(process: &str) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            let kilobytes: u64 = line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kilobytes * 1024)
        };
        Some(Self { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
    }
}
