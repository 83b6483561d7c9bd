//! Where a report goes.

use crate::BenchError;
use crate::report::Report;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How reports are shown and kept.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// What is written to standard output
    #[arg(long, value_enum, global = true, default_value_t = Format::Text)]
    pub format: Format,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE.json", global = true)]
    pub save: Option<PathBuf>,
    /// Also write the report as one HTML page with plots
    #[arg(long, value_name = "FILE.html", global = true)]
    pub report: Option<PathBuf>,
}

/// Says how far a run is, on standard error. If nobody can be told, it goes on all the same.
pub(crate) fn say(progress: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "parkade bench: {progress}");
}

/// A form of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables.
    Text,
    /// One JSON object.
    Json,
}

impl OutputOptions {
    /// Says before a long run that its report could not be kept, not after it.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        for path in [&self.save, &self.report].into_iter().flatten() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::metadata(folder).map_err(BenchError::io(format!("write {}", path.display())))?;
        }
        Ok(())
    }

    /// Shows and keeps a report.
    pub(crate) fn deliver(&self, report: &Report) -> Result<(), BenchError> {
        let json = || format!("{:#}\n", report.to_json());
        // Files first: a closed standard output must not lose a long run.
        let keep = |path: &Option<PathBuf>, content: &dyn Fn() -> String| match path {
            Some(path) => std::fs::write(path, content()).map_err(BenchError::io(format!("write {}", path.display()))),
            None => Ok(()),
        };
        keep(&self.save, &json)?;
        keep(&self.report, &|| report.to_html())?;
        let shown = match self.format {
            Format::Text => report.to_text(),
            Format::Json => json(),
        };
        write(&shown)
    }
}

/// Writes to standard output.
pub(crate) fn write(text: &str) -> Result<(), BenchError> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(BenchError::io("write to standard output"))
}

#[cfg(test)]
mod tests {
    use super::{Format, OutputOptions};
    use crate::report::Report;

    #[test]
    fn a_report_is_kept_in_both_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (save, html) = (folder.path().join("a.json"), folder.path().join("a.html"));
        let output = OutputOptions { format: Format::Text, save: Some(save.clone()), report: Some(html.clone()) };
        output.check().expect("the folder is there");
        output.deliver(&Report::new("model", "A title", None)).expect("delivered");
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(save).expect("JSON")).expect("JSON");
        assert_eq!(json["title"], "A title");
        assert!(std::fs::read_to_string(html).expect("HTML").contains("<h1>A title</h1>"));
    }

    #[test]
    fn a_missing_folder_is_said_before_the_run() {
        let output = OutputOptions { format: Format::Text, save: Some("/no/such/folder/a.json".into()), report: None };
        assert!(output.check().expect_err("missing").to_string().contains("/no/such/folder/a.json"));
    }
}
