//! How much memory the process may still take.

use std::fs;
use std::path::Path;

/// Bytes that are free for this process: what the system has available, but no more than its control group leaves. 1 GiB if neither can be read.
pub(crate) fn free_bytes() -> u64 {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let group = group_room(Path::new("/sys/fs/cgroup"));
    match (system, group) {
        (Some(system), Some(group)) => system.min(group),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => 1 << 30,
    }
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a control group leaves: version 2 (`memory.max`), or version 1 (`memory/memory.limit_in_bytes`).
fn group_room(root: &Path) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(root.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?),
        None => (number("memory/memory.limit_in_bytes")?, number("memory/memory.usage_in_bytes")?),
    };
    Some(limit.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_kibibytes() {
        assert_eq!(available("MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    2000 kB\n"), Some(2_048_000));
        assert_eq!(available("MemTotal:       16000 kB\n"), None);
    }

    #[test]
    fn a_control_group_leaves_its_limit_less_what_is_used() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(group_room(root.path()), None);
        fs::write(root.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(group_room(root.path()), None);
        fs::write(root.path().join("memory.max"), "1000\n").unwrap();
        fs::write(root.path().join("memory.current"), "300\n").unwrap();
        assert_eq!(group_room(root.path()), Some(700));
    }
}
