//! `parkade doctor`: is everything in order, and if not, what to do.

mod checks;

use std::io::{self, Write};
use std::path::Path;

use crate::args::DoctorArgs;
use crate::machine::Machine;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
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

/// Runs the checks. The exit code is 1 if one of them failed.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &DoctorArgs, config_file: Option<&Path>, out: &mut impl Write) -> io::Result<u8> {
    let machine = Machine::read();
    let mut worst = Verdict::Ok;
    let mut report = |finding: Finding| {
        worst = worst.max(finding.verdict);
        finding.write(out)
    };
    report(checks::processor(&machine))?;
    report(checks::cores(&machine, &args.model))?;
    report(checks::configuration(config_file))?;
    report(checks::data_directory(&crate::directories::data()))?;
    match checks::model_file(&args.model) {
        Err(finding) => {
            report(checks::memory(&machine, 0))?;
            report(finding)?;
        }
        Ok((path, size)) => {
            report(checks::memory(&machine, size))?;
            let checksum = checks::checksum(&path);
            let usable = checksum.verdict != Verdict::Fail;
            report(checksum)?;
            if usable {
                for finding in checks::answer(&path, &args.model, &machine) {
                    report(finding)?;
                }
            }
        }
    }
    Ok(u8::from(worst == Verdict::Fail))
}
