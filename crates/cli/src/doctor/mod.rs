//! `parkade doctor`: is everything in order, and if not, what to do.

mod checks;
mod look;
mod trial;

use std::io::{self, Write};
use std::path::Path;

use parkade_bench::{Format, Roofline};
use parkade_kernels::Team;
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::machine::Machine;
use crate::models::{Alias, aliases, fit};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    verdict: Verdict,
    subject: &'static str,
    text: String,
    /// What to do, unless all is well.
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Ok, subject, text: text.into(), remedy: None }
    }

    fn warn(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warn, subject, text: text.into(), remedy: Some(remedy.into()) }
    }

    fn fail(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fail, subject, text: text.into(), remedy: Some(remedy.into()) }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let word = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        writeln!(out, "{word:<5} {:<15} {}", self.subject, self.text)?;
        if let Some(remedy) = &self.remedy {
            writeln!(out, "{:<5} {:<15} -> {remedy}", "", "")?;
        }
        // Line by line: the last check takes seconds.
        out.flush()
    }
}

/// A model of the hub that this machine has memory for.
#[derive(Debug, Serialize)]
struct Fits {
    alias: &'static str,
    quantisation: &'static str,
    /// Of the weights, with room for keys and values.
    memory_bytes: u64,
    /// Of one stream: an estimate, as in `parkade doctor MODEL`.
    decode_tokens_per_second: f64,
}

/// The aliases whose models fit, each in the best quantisation that does, by their number of parameters.
fn fitting(machine: &Machine, threads: usize) -> Vec<Fits> {
    let room = fit::room(machine).unwrap_or(u64::MAX);
    let read = Roofline::measure(&Team::new(threads)).read;
    let sized = |alias: &'static Alias, quantisation: &'static str| {
        let bytes = fit::file_bytes(alias.billions, quantisation);
        let a_token_reads = bytes as f64 * fit::growth(quantisation) * alias.active / alias.billions;
        Fits {
            alias: alias.names[0],
            quantisation,
            memory_bytes: fit::memory_needed(quantisation, bytes),
            decode_tokens_per_second: look::DECODE_SHARE * read / a_token_reads,
        }
    };
    let best = |alias: &'static Alias| {
        alias.quants.iter().map(|quant| sized(alias, quant)).find(|fits| fits.memory_bytes <= room)
    };
    aliases().filter_map(best).collect()
}

/// Runs the checks, or looks at the model that is named. The exit code is 1 if a check failed, or the model would not load.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &DoctorArgs, config_file: Option<&Path>, out: &mut impl Write) -> io::Result<u8> {
    let machine = Machine::read();
    if let Some(name) = &args.look_at {
        return look::run(name, args, &machine, out);
    }
    let mut findings = Vec::new();
    let mut report = |finding: Finding| {
        let written = if args.format == Format::Text { finding.write(out) } else { Ok(()) };
        findings.push(finding);
        written
    };
    report(checks::processor(&machine))?;
    report(checks::cores(&machine, &args.model))?;
    report(checks::configuration(config_file))?;
    report(checks::data_directory(&crate::directories::data()))?;
    let named = [("model", Some(&args.model.model)), ("embedding model", args.embedding.embedding_model.as_ref())];
    let (mut bytes, mut missing, mut files) = (0, Vec::new(), Vec::new());
    for (subject, model) in named {
        match model.map(|model| checks::model_files(subject, model)) {
            Some(Ok((paths, size))) => {
                bytes += size;
                files.extend(paths.into_iter().map(|path| (subject, path)));
            }
            Some(Err(finding)) => missing.push(finding),
            None => {}
        }
    }
    report(checks::memory(&machine, bytes))?;
    let mut usable = missing.is_empty();
    missing.into_iter().try_for_each(&mut report)?;
    for (subject, file) in files {
        let checksum = checks::checksum(subject, &file);
        usable &= checksum.verdict != Verdict::Fail;
        report(checksum)?;
    }
    if usable {
        checks::answers(&args.model, &args.embedding, &machine).into_iter().try_for_each(&mut report)?;
    }
    let fits = fitting(&machine, crate::loading::threads(&args.model, &machine));
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    if args.format == Format::Json {
        writeln!(out, "{:#}", serde_json::json!({"ok": !failed, "findings": findings, "fits": fits}))?;
        return Ok(u8::from(failed));
    }
    writeln!(
        out,
        "\n{:21} `parkade pull` has these that fit, by their size (see `parkade doctor MODEL` once one is here):",
        ""
    )?;
    for Fits { alias, quantisation, memory_bytes, decode_tokens_per_second } in fits {
        let memory = checks::gib(memory_bytes);
        writeln!(
            out,
            "{:21} {alias:<22} {quantisation:<8} about {memory:>9}, {decode_tokens_per_second:>4.0} tok/s",
            ""
        )?;
    }
    Ok(u8::from(failed))
}
