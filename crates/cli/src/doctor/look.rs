//! `parkade doctor MODEL`: what a file is, what it needs, how fast it will be here, and all that keeps it from loading.

mod file;
mod needs;
mod text;

use std::io::{self, Write};

use parkade_bench::Format;
use parkade_model::Survey;
use parkade_model::chat_template::{ChatTemplate, GivenTemplate, TemplateError};
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::Tokenizer;
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::machine::Machine;
use crate::models;
use file::Contents;
pub(super) use needs::DECODE_SHARE;
use needs::{Needs, Speed};

/// What is found of a model.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether it would load here.
    loads: bool,
    /// Why not.
    problems: Vec<String>,
    /// What is wrong and keeps it from nothing.
    warnings: Vec<String>,
    #[serde(flatten)]
    contents: Option<Contents>,
    needs: Option<Needs>,
    speed: Option<Speed>,
}

/// Looks at a model and writes the report. The exit code is 1 if it would not load.
///
/// # Errors
/// Standard output is closed.
pub(super) fn run(name: &str, args: &DoctorArgs, machine: &Machine, out: &mut impl Write) -> io::Result<u8> {
    let report = Report::of(name, args, machine);
    match args.format {
        Format::Text => text::write(&report, out)?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report).map_err(io::Error::from)?)?,
    }
    Ok(u8::from(!report.loads))
}

impl Report {
    fn of(name: &str, args: &DoctorArgs, machine: &Machine) -> Report {
        let opened = models::locate(name).map_err(|error| error.to_string()).and_then(|path| {
            let named = |error| format!("{}: {error}", path.display());
            let mut gguf = Gguf::open(&path).map_err(named)?;
            args.model.pooling.map_or(Ok(()), |pooling| pooling.say(&mut gguf)).map_err(named)?;
            Ok(gguf)
        });
        let gguf = match opened {
            Ok(opened) => opened,
            Err(problem) => {
                let problems = vec![problem];
                return Report { loads: false, problems, warnings: vec![], contents: None, needs: None, speed: None };
            }
        };
        let survey = Survey::of(&gguf, args.model.ctx_size);
        let mut problems: Vec<String> = survey.problems().iter().map(ToString::to_string).collect();
        let mut warnings: Vec<String> = gguf
            .unusable()
            .map(|(key, problem)| format!("metadata key '{key}' {problem}; it counts as missing"))
            .collect();
        let tokenizer = Tokenizer::from_gguf(&gguf).map_err(|error| problems.push(error.to_string())).ok();
        if let Some(tokenizer) = tokenizer {
            warnings.extend(tokenizer.warnings().iter().cloned());
            problems.extend(check_template(&gguf, args, tokenizer).err().map(|error| error.to_string()));
        }
        let needs = Needs::of(&survey, args, machine);
        problems.extend(needs.iter().flat_map(|needs| needs.problems.iter().cloned()));
        let speed = Speed::estimate(&survey, args, machine);
        let contents = Some(Contents::of(&gguf, &survey));
        Report { loads: problems.is_empty(), problems, warnings, contents, needs, speed }
    }
}

/// Whether the chat template can be read: the one that was given, or else the file's.
fn check_template(gguf: &Gguf, args: &DoctorArgs, mut tokenizer: Tokenizer) -> Result<(), TemplateError> {
    let Some(name) = &args.model.chat_template else {
        return ChatTemplate::from_gguf(gguf, &tokenizer).map(drop);
    };
    let given = GivenTemplate::find(name)?;
    tokenizer.add_markup(given.source());
    ChatTemplate::given(given, &tokenizer).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use serde_json::Value;

    fn tiny(name: &str) -> String {
        format!("{}/../../tests/oracle/tiny/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn look_at(arguments: &[&str]) -> (u8, String) {
        let words = ["parkade", "doctor"].iter().chain(arguments);
        let Command::Doctor(args) = Cli::parse_from(words).command else { panic!("not doctor") };
        let mut out = Vec::new();
        let name = args.look_at.clone().expect("a name");
        let code = run(&name, &args, &Machine::read(), &mut out).expect("written");
        (code, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_model_is_described_with_what_it_needs_and_how_fast_it_will_be() {
        let (code, json) = look_at(&[&tiny("llama-Q4_1.gguf"), "--format", "json", "--ctx-size", "128"]);
        assert_eq!(code, 0, "{json}");
        let report: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&report["loads"], &report["architecture"]), (&Value::Bool(true), &Value::from("llama")));
        assert_eq!(report["context"], 128);
        assert!(report["parameters"].as_u64() > Some(1000));
        assert!(report["types"].as_array().expect("a list").iter().any(|ty| ty["name"] == "Q4_1"));
        let needs = &report["needs"];
        assert_eq!(needs["kv_bytes_for_context"].as_u64(), needs["kv_bytes_per_token"].as_u64().map(|each| each * 128));
        assert!(report["speed"]["decode_tokens_per_second"].as_f64() > Some(0.0));
        let (code, text) = look_at(&[&tiny("llama-Q4_1.gguf")]);
        assert!(code == 0 && text.contains("an estimate") && text.contains("it would load"), "{text}");
    }

    #[test]
    fn all_that_keeps_a_model_from_loading_is_said_and_not_the_first_of_it_only() {
        let mut bytes = std::fs::read(tiny("llama-Q4_1.gguf")).expect("a model");
        let mut rename = |from: &str, to: &str| {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        };
        rename("blk.0.ffn_up.weight", "blk.0.ffn_uq.weight");
        rename("blk.1.attn_v.weight", "blk.1.attn_w.weight");
        let file = tempfile::NamedTempFile::with_suffix(".gguf").expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let (code, text) = look_at(&[file.path().to_str().expect("a path"), "--kv-cache-mb", "16000000"]);
        assert_eq!(code, 1);
        for word in ["blk.0.ffn_up.weight", "blk.1.attn_v.weight", "blk.0.ffn_uq.weight", "kv-cache-mb is 16000000"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn states_of_sequences_are_counted_with_keys_and_values() {
        let folder = tempfile::tempdir().expect("a folder");
        let look = |shape: &str| {
            let path = folder.path().join(shape).with_extension("gguf");
            parkade_synth::Model::new(shape, 1, 1, None).expect("a shape").save(&path).expect("written");
            let (code, json) = look_at(&[path.to_str().expect("a path"), "--format", "json"]);
            assert_eq!(code, 0, "{json}");
            serde_json::from_str::<Value>(&json).expect("JSON")["needs"].clone()
        };
        let (both, alone) = (look("tiny-lfm2"), look("tiny-mamba2"));
        assert!(both["state_bytes_per_sequence"].as_u64() > Some(0) && both["kv_bytes_per_token"].as_u64() > Some(0));
        assert!(alone["state_bytes_per_sequence"].as_u64() > Some(0) && alone["kv_cache_tokens"].is_null());
    }

    #[test]
    fn what_is_no_model_is_said_so() {
        let (code, text) = look_at(&["./nothing.gguf"]);
        assert!(code == 1 && text.contains("no model file at ./nothing.gguf"), "{text}");
        let (code, text) = look_at(&[&tiny("llama-Q4_1.gguf"), "--chat-template", "nobodys"]);
        assert!(code == 1 && text.contains("nobodys"), "{text}");
        let (code, json) = look_at(&["qwen3:4b-q2_k", "--format", "json"]);
        assert!(code == 1 && json.contains("parkade pull qwen3:4b-q2_k"), "{json}");
    }
}
