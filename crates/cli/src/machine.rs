//! What this process may use of the machine: cores (affinity and cgroup quota) and memory (cgroup limits).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The machine as this process sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The processor's name, if the system tells.
    pub processor: Option<String>,
    /// Hardware threads that the process may be scheduled on.
    pub hardware_threads: usize,
    /// Physical cores among them.
    pub cores: usize,
    /// Processor time that the cgroup grants, in cores; `None` without a quota.
    pub cgroup_cores: Option<f64>,
    /// The machine's memory, in bytes.
    pub memory_total: u64,
    /// What can be taken now without swapping and within the cgroup's limit, in bytes.
    pub memory_free: u64,
    /// The tightest memory limit among the cgroups above the process, in bytes.
    pub cgroup_memory: Option<u64>,
}

impl Machine {
    /// Reads the running system.
    #[must_use]
    pub fn read() -> Machine {
        Machine::read_from(Path::new("/"))
    }

    /// Threads that compute unless told otherwise: one for each physical core that the process may use. A second
    /// thread on the same core shares its vector units and only adds waiting.
    #[must_use]
    pub fn default_threads(&self) -> usize {
        let granted = self.cgroup_cores.map_or(usize::MAX, |cores| cores.ceil() as usize);
        self.cores.min(granted).max(1)
    }

    fn read_from(root: &Path) -> Machine {
        let allowed = allowed_cpus(root);
        let cgroup = Cgroup::read(root);
        let available = meminfo(root, "MemAvailable").unwrap_or(0);
        Machine {
            processor: processor(root),
            hardware_threads: allowed.len().max(1),
            cores: physical_cores(root, &allowed).max(1),
            cgroup_cores: cgroup.cores(),
            memory_total: meminfo(root, "MemTotal").unwrap_or(0),
            memory_free: cgroup.memory_free().map_or(available, |free| free.min(available)),
            cgroup_memory: cgroup.memory_limit(),
        }
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn processor(root: &Path) -> Option<String> {
    field(&read(&root.join("proc/cpuinfo"))?, "model name")
}

fn meminfo(root: &Path, name: &str) -> Option<u64> {
    let value = field(&read(&root.join("proc/meminfo"))?, name)?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The CPUs in the process's affinity mask.
fn allowed_cpus(root: &Path) -> Vec<usize> {
    let listed = read(&root.join("proc/self/status")).and_then(|status| field(&status, "Cpus_allowed_list"));
    match listed.as_deref().and_then(cpu_list) {
        Some(list) => list,
        None => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// "0-2,8" as the kernel writes it.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    (!cpus.is_empty()).then_some(cpus)
}

/// Cores with at least one allowed CPU: siblings share the list of their core's CPUs.
fn physical_cores(root: &Path, allowed: &[usize]) -> usize {
    let siblings = |cpu: &usize| {
        let topology = root.join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
        read(&topology.join("core_cpus_list"))
            .or_else(|| read(&topology.join("thread_siblings_list")))
            // Without a topology each CPU counts as a core.
            .unwrap_or_else(|| cpu.to_string())
    };
    allowed.iter().map(siblings).collect::<BTreeSet<_>>().len()
}

/// The directories of the process's control groups, from its own up to the root, in either version's layout.
struct Cgroup {
    v2: Vec<PathBuf>,
    memory_v1: Vec<PathBuf>,
    cpu_v1: Vec<PathBuf>,
}

impl Cgroup {
    fn read(root: &Path) -> Cgroup {
        let mount = root.join("sys/fs/cgroup");
        let mut found = Cgroup { v2: Vec::new(), memory_v1: Vec::new(), cpu_v1: Vec::new() };
        for line in read(&root.join("proc/self/cgroup")).unwrap_or_default().lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                found.v2 = upwards(&mount, path);
            }
            if controllers.split(',').any(|c| c == "memory") {
                found.memory_v1 = upwards(&mount.join("memory"), path);
            }
            if controllers.split(',').any(|c| c == "cpu") {
                found.cpu_v1 = upwards(&mount.join("cpu"), path);
            }
        }
        found
    }

    fn cores(&self) -> Option<f64> {
        let v2 = self.v2.iter().filter_map(|dir| {
            let text = read(&dir.join("cpu.max"))?;
            let (quota, period) = text.split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        });
        let v1 = self.cpu_v1.iter().filter_map(|dir| {
            let quota = read(&dir.join("cpu.cfs_quota_us"))?.parse::<f64>().ok()?;
            Some(quota / read(&dir.join("cpu.cfs_period_us"))?.parse::<f64>().ok()?)
        });
        v2.chain(v1).filter(|cores| cores.is_finite() && *cores > 0.0).min_by(f64::total_cmp)
    }

    /// Limit and use of each level that has a limit. Page cache that can be dropped does not count as used.
    fn memory(&self) -> Vec<(u64, u64)> {
        let level = |dir: &PathBuf, limit: &str, used: &str, cache: &str| {
            let limit = read(&dir.join(limit))?.parse::<u64>().ok()?;
            let used = read(&dir.join(used))?.parse::<u64>().ok()?;
            let stat = read(&dir.join("memory.stat")).unwrap_or_default();
            let droppable = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok());
            Some((limit, used.saturating_sub(droppable.unwrap_or(0))))
        };
        let v2 = self.v2.iter().filter_map(|dir| level(dir, "memory.max", "memory.current", "inactive_file "));
        let v1 = self
            .memory_v1
            .iter()
            .filter_map(|dir| level(dir, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "));
        // Version 1 writes "no limit" as a number near the largest one.
        v2.chain(v1).filter(|(limit, _)| *limit < u64::MAX / 4).collect()
    }

    fn memory_limit(&self) -> Option<u64> {
        self.memory().into_iter().map(|(limit, _)| limit).min()
    }

    fn memory_free(&self) -> Option<u64> {
        self.memory().into_iter().map(|(limit, used)| limit.saturating_sub(used)).min()
    }
}

fn upwards(mount: &Path, path: &str) -> Vec<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|dir| dir.starts_with(mount)).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        }
        let machine = Machine::read_from(root.path());
        (root, machine)
    }

    const MEMORY: (&str, &str) = ("proc/meminfo", "MemTotal:       8388608 kB\nMemAvailable:   4194304 kB\n");

    #[test]
    fn hyperthreads_of_one_core_count_once_and_forbidden_cpus_not_at_all() {
        let (_root, machine) = system(&[
            MEMORY,
            ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-2,4\n"),
            ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0,4\n"),
            ("sys/devices/system/cpu/cpu1/topology/core_cpus_list", "1,5\n"),
            ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,6\n"),
            ("sys/devices/system/cpu/cpu4/topology/core_cpus_list", "0,4\n"),
        ]);
        assert_eq!((machine.hardware_threads, machine.cores, machine.default_threads()), (4, 3, 3));
    }

    #[test]
    fn a_cgroup_quota_bounds_the_threads() {
        let (_root, machine) = system(&[
            MEMORY,
            ("proc/self/status", "Cpus_allowed_list:\t0-7\n"),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ]);
        assert_eq!((machine.cgroup_cores, machine.cores, machine.default_threads()), (Some(1.5), 8, 2));
    }

    #[test]
    fn free_memory_is_the_tightest_of_machine_and_cgroups() {
        let gib = 1 << 30;
        let (_root, machine) = system(&[
            MEMORY,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/a/memory.current", "1610612736\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 536870912\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "5\n"),
        ]);
        assert_eq!((machine.memory_total, machine.cgroup_memory, machine.memory_free), (8 * gib, Some(2 * gib), gib));
        let (_root, without) = system(&[MEMORY]);
        assert_eq!((without.cgroup_memory, without.memory_free), (None, 4 * gib));
    }

    #[test]
    fn version_one_cgroups_are_read_and_their_no_limit_is_no_limit() {
        let (_root, machine) = system(&[
            MEMORY,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "73741824\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(
            (machine.cgroup_memory, machine.memory_free, machine.cgroup_cores),
            (Some(1 << 30), 1_000_000_000, None)
        );
    }

    #[test]
    fn the_running_system_has_a_core_and_free_memory() {
        let machine = Machine::read();
        assert!(machine.cores >= 1 && machine.cores <= machine.hardware_threads);
        assert!(machine.memory_free > 0 && machine.memory_free <= machine.memory_total);
    }
}
