//! What the kernel says of a process: memory, bytes written, processor time.

use anyhow::Context;
use std::fs;

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(field(&format!("/proc/{pid}/status"), "VmRSS:")? * 1024)
}

/// Bytes that the process has caused to be written to the disk so far.
pub(crate) fn written_bytes(pid: u32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

fn field(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .with_context(|| format!("no {name} in {path}"))?
        .parse()
        .context(path.to_owned())
}

/// MiB with one place.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Whether a folder lies in memory and not on a disk.
pub(crate) fn is_in_memory(folder: &std::path::Path) -> anyhow::Result<bool> {
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(place).then_some((place.len(), kind))
    });
    Ok(mounts.max().is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs")))
}

/// Processors, memory and kernel of this machine, and the commit, in one line.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = field("/proc/meminfo", "MemTotal:").unwrap_or_default() / (1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let commit = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(world::station::repository())
        .output();
    let commit = commit
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    format!(
        "{cores} × {model}, {memory} GiB, Linux {}, commit {commit}",
        kernel.trim()
    )
}
