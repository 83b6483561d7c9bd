//! The checks, one function each.

use std::path::{Path, PathBuf};
use std::time::Instant;

use parkade_core::EngineConfig;
use parkade_kernels::CpuLevel;

use super::{Finding, trial};
use crate::args::{EmbeddingArgs, ModelArgs};
use crate::loading::Models;
use crate::machine::Machine;
use crate::pull::Digest;
use crate::{directories, loading, models};

pub(super) fn processor(machine: &Machine) -> Finding {
    let level = CpuLevel::current();
    let text = format!(
        "{} ({}), kernels: {}",
        machine.processor.as_deref().unwrap_or("unknown"),
        std::env::consts::ARCH,
        level.name()
    );
    match level {
        CpuLevel::Scalar => Finding::warn(
            "processor",
            text,
            "answers will be slow: Parkade is quick with AVX2 or AVX-512 (PARKADE_CPU can force a level; is it set?)",
        ),
        _ => Finding::ok("processor", text),
    }
}

pub(super) fn cores(machine: &Machine, args: &ModelArgs) -> Finding {
    let threads = loading::threads(args, machine);
    let quota =
        machine.cgroup_cores.map(|cores| format!(", of which the control group grants {cores:.1}")).unwrap_or_default();
    let text = format!(
        "{} cores, {} hardware threads{quota}; {threads} threads will compute",
        machine.cores, machine.hardware_threads
    );
    if threads > machine.default_threads() {
        let remedy = format!(
            "more threads than cores wait for each other; --threads {} is likely faster",
            machine.default_threads()
        );
        return Finding::warn("cores", text, remedy);
    }
    Finding::ok("cores", text)
}

pub(super) fn configuration(file: Option<&Path>) -> Finding {
    // A wrong file ends every command before it begins, this one too.
    Finding::ok(
        "configuration",
        file.map_or_else(|| "no file, all defaults".to_owned(), |path| path.display().to_string()),
    )
}

pub(super) fn memory(machine: &Machine, model_bytes: u64) -> Finding {
    let limit = machine
        .cgroup_memory
        .map(|bytes| format!(", limited to {} by the control group", gib(bytes)))
        .unwrap_or_default();
    let text = format!("{} free of {}{limit}", gib(machine.memory_free), gib(machine.memory_total));
    if machine.memory_free < model_bytes {
        return Finding::fail(
            "memory",
            text,
            format!("the model alone takes {}: free some memory, or choose a smaller model", gib(model_bytes)),
        );
    }
    if machine.memory_free < model_bytes.saturating_mul(2) {
        return Finding::warn(
            "memory",
            text,
            format!(
                "little is left for the KV cache beside the model's {}: few requests will run at once",
                gib(model_bytes)
            ),
        );
    }
    Finding::ok("memory", text)
}

pub(super) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

pub(super) fn data_directory(path: &Path) -> Finding {
    let shown = path.display().to_string();
    if !path.exists() {
        return Finding::warn(
            "data directory",
            format!("{shown} is not there yet"),
            "`make setup` or `parkade pull` makes it",
        );
    }
    match tempfile_in(path) {
        Ok(()) => Finding::ok("data directory", shown),
        Err(error) => Finding::fail(
            "data directory",
            format!("{shown}: {error}"),
            "make it writable, or set PARKADE_HOME to another directory",
        ),
    }
}

fn tempfile_in(path: &Path) -> std::io::Result<()> {
    let probe = path.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}

/// The files of a model, and their size together.
pub(super) fn model_files(subject: &'static str, model: &str) -> Result<(Vec<PathBuf>, u64), Finding> {
    let path = models::locate(model)
        .map_err(|error| Finding::fail(subject, format!("'{model}' cannot be used"), error.to_string()))?;
    let files = models::files_of(&path);
    let size =
        files.iter().map(|file| std::fs::metadata(file).map(|metadata| metadata.len())).sum::<std::io::Result<u64>>();
    let size =
        size.map_err(|error| Finding::fail(subject, format!("{}: {error}", path.display()), "check its permissions"))?;
    Ok((files, size))
}

pub(super) fn checksum(subject: &'static str, path: &Path) -> Finding {
    let expected =
        if path == directories::default_model() { Digest::parse(models::DEFAULT_SHA256) } else { Digest::noted(path) };
    let shown = path.display();
    let Some(expected) = expected else {
        return Finding::ok(subject, format!("{shown} (no checksum is known for it)"));
    };
    match Digest::of_file(path) {
        Ok(found) if found == expected => Finding::ok(subject, format!("{shown}, checksum right")),
        Ok(found) => Finding::fail(
            subject,
            format!("{shown}: its SHA-256 is {found} and should be {expected}"),
            "the file is damaged: delete it, then `make setup` or `parkade pull` fetches it again",
        ),
        Err(error) => Finding::fail(subject, format!("{shown}: {error}"), "check its permissions"),
    }
}

/// Whether the models do what they are for, after what is wrong with their metadata.
pub(super) fn answers(args: &ModelArgs, embedding: &EmbeddingArgs, machine: &Machine) -> Vec<Finding> {
    let engine = EngineConfig { max_seqs: 1, ..EngineConfig::default() };
    let started = Instant::now();
    let found = Models::find(args, embedding, engine, machine).map_err(|error| error.to_string());
    let loaded = found.and_then(|models| models.load().map_err(|error| error.to_string()));
    let load_time = started.elapsed().as_secs_f64();
    let (first, beside) = match loaded {
        Ok(loaded) => loaded,
        Err(message) => return vec![Finding::fail("answer", "the model gives none", message)],
    };
    let mut findings = Vec::new();
    for loaded in [Some(first), beside].into_iter().flatten() {
        findings.extend(loaded.warnings.iter().map(|warning| {
            Finding::warn("metadata", warning, "the model works without it; a newer conversion may be better")
        }));
        findings.push(match trial::answer(&loaded) {
            Ok(answer) => Finding::ok("answer", format!("loaded in {load_time:.1} s{answer}")),
            Err(message) => Finding::fail("answer", "the model gives none", message),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn machine() -> Machine {
        Machine {
            processor: Some("Test".to_owned()),
            hardware_threads: 8,
            cores: 4,
            cgroup_cores: Some(2.0),
            memory_total: 8 << 30,
            memory_free: 4 << 30,
            cgroup_memory: None,
        }
    }

    fn args(threads: Option<u32>, model: &str) -> ModelArgs {
        ModelArgs {
            model: model.to_owned(),
            threads,
            kv_cache_mb: None,
            ctx_size: None,
            pooling: None,
            chat_template: None,
        }
    }

    #[test]
    fn memory_fails_without_room_for_the_weights_and_warns_without_room_beside_them() {
        assert_eq!(memory(&machine(), 1 << 30).verdict, Verdict::Ok);
        assert_eq!(memory(&machine(), 3 << 30).verdict, Verdict::Warn);
        let none = memory(&machine(), 5 << 30);
        assert_eq!(none.verdict, Verdict::Fail);
        assert!(none.remedy.expect("a remedy").contains("5.0 GiB"));
    }

    #[test]
    fn more_threads_than_granted_cores_are_warned_of() {
        assert_eq!(cores(&machine(), &args(None, "default")).verdict, Verdict::Ok);
        let finding = cores(&machine(), &args(Some(3), "default"));
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.remedy.expect("a remedy").contains("--threads 2"));
    }

    #[test]
    fn a_damaged_model_is_found_by_its_note() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("m.gguf");
        std::fs::write(&path, "abc").expect("written");
        assert_eq!(checksum("model", &path).verdict, Verdict::Ok);
        let sidecar = crate::pull::sidecar_of(&path);
        std::fs::write(&sidecar, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  m.gguf\n")
            .expect("written");
        assert_eq!(checksum("model", &path).verdict, Verdict::Ok);
        std::fs::write(&path, "abd").expect("written");
        assert_eq!(checksum("model", &path).verdict, Verdict::Fail);
    }

    #[test]
    fn a_missing_data_directory_is_no_failure_and_leaves_none_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("none");
        assert_eq!(data_directory(&missing).verdict, Verdict::Warn);
        assert!(!missing.exists());
        assert_eq!(data_directory(directory.path()).verdict, Verdict::Ok);
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_model_that_is_not_there_fails_with_the_command_that_fetches_it() {
        let finding = model_files("model", "llama-3.1-8b").expect_err("not there");
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.remedy.expect("a remedy").contains("parkade pull llama-3.1-8b"));
    }
}
