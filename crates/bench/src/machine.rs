//! The machine line: figures without it say nothing.

use parkade_kernels::CpuLevel;
use serde::Serialize;

/// What a figure was measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's own name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// The instruction set that Parkade's kernels use here.
    pub kernel_level: String,
    /// Main memory in bytes; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// Operating system and its release.
    pub system: String,
    /// Runnable tasks, averaged over the minute before the benchmark began. Well above 0 means that the machine was not
    /// idle and that its figures are not to be quoted.
    pub load_average: Option<f64>,
}

impl Machine {
    /// Asks the operating system.
    pub fn detect() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = field(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH);
        let memory = read("/proc/meminfo");
        let memory_kib = field(&memory, "MemTotal")
            .and_then(|text| text.split_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok());
        Machine {
            cpu: cpu.to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel_level: CpuLevel::current().name().to_string(),
            memory_bytes: memory_kib.unwrap_or(0) * 1024,
            system: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            load_average: read("/proc/loadavg").split_whitespace().next().and_then(|number| number.parse().ok()),
        }
    }

    /// Why figures from here are not to be quoted: others used the machine when the benchmark began, or this program was built for
    /// tests.
    pub fn warnings(&self) -> Vec<String> {
        let busy = self.load_average.filter(|load| *load > 0.5);
        let busy = busy.map(|load| format!("the machine was not idle before the run (load average {load})"));
        let tested = cfg!(debug_assertions).then(|| "this program was built without --release".to_string());
        busy.into_iter().chain(tested).map(|reason| format!("{reason}: do not quote these figures")).collect()
    }

    /// All in one line.
    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, kernels {}, {:.1} GiB, {}",
            self.cpu,
            self.cores,
            self.kernel_level,
            self.memory_bytes as f64 / (1u64 << 30) as f64,
            self.system,
        )
    }
}

/// Resident memory of a process in bytes. `None` if it is gone or the system does not tell.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 = field(&status, "VmRSS")?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The value behind `key` in the `key : value` lines of /proc.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::{Machine, field, resident_bytes};

    #[test]
    fn proc_lines_are_read_by_their_exact_key() {
        let text = "model\t\t: 17\nmodel name\t: AMD EPYC 9B14\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC 9B14"));
        assert_eq!(field(text, "model"), Some("17"));
        assert_eq!(field(text, "mode"), None);
    }

    #[test]
    fn a_busy_machine_is_said() {
        let with = |load_average| Machine { load_average, ..Machine::detect() }.warnings().concat();
        assert!(with(Some(1.5)).contains("load average 1.5"));
        assert!(!with(Some(0.2)).contains("load") && !with(None).contains("load"));
        assert_eq!(with(None).contains("--release"), cfg!(debug_assertions));
    }

    #[test]
    fn this_machine_has_a_processor_and_this_process_has_memory() {
        assert!(Machine::detect().cores >= 1);
        #[cfg(target_os = "linux")]
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
    }
}
