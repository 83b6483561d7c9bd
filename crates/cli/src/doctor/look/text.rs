//! The report for people.

use std::io::{self, Write};

use super::Report;
use super::file::Contents;
use super::needs::{Needs, Speed};
use crate::doctor::checks::gib;

pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut line = |subject: &str, text: String| writeln!(out, "{subject:<11} {text}");
    if let Some(contents) = &report.contents {
        for (subject, text) in contents_lines(contents) {
            line(subject, text)?;
        }
    }
    for (subject, text) in report.needs.iter().flat_map(needs_lines).chain(report.speed.iter().flat_map(speed_lines)) {
        line(subject, text)?;
    }
    for warning in &report.warnings {
        line("warning", warning.clone())?;
    }
    if report.loads {
        return line("verdict", "it would load".to_owned());
    }
    line("verdict", "it would not load:".to_owned())?;
    report.problems.iter().try_for_each(|problem| line("", format!("- {problem}")))
}

fn contents_lines(contents: &Contents) -> Vec<(&'static str, String)> {
    let files = match contents.files.as_slice() {
        [one] => one.clone(),
        several => format!("{} and {} more", several[0], several.len() - 1),
    };
    let architecture = contents.architecture.as_deref().unwrap_or("no architecture");
    let billions = contents.parameters as f64 / 1e9;
    let all = contents.parameters.max(1) as f64;
    let shares: Vec<String> = contents
        .types
        .iter()
        .map(|share| format!("{} {:.1} %", share.name, 100.0 * share.parameters as f64 / all))
        .collect();
    let mut lines = vec![
        ("model", format!("{} ({architecture}), {billions:.2} billion parameters", contents.name)),
        ("file", format!("{files}, {}", gib(contents.file_bytes))),
        ("weights", shares.join(", ")),
    ];
    if let (Some(context), Some(trained)) = (contents.context, contents.trained_context) {
        let of = if context == trained { String::new() } else { format!(" of the {trained} that it was made for") };
        lines.push(("context", format!("{context} tokens{of}")));
    }
    if let (Some(layers), Some(heads), Some(kv_heads), Some(head_dim), Some(width)) =
        (contents.layers, contents.heads, contents.kv_heads, contents.head_dim, contents.embedding)
    {
        let text =
            format!("{layers} layers of width {width}, {heads} heads of {head_dim}, {kv_heads} for keys and values");
        lines.push(("shape", text));
    }
    let kind = contents.vocabulary.as_deref().unwrap_or("none");
    let tokens = contents.tokens.map(|tokens| format!(", {tokens} tokens")).unwrap_or_default();
    lines.push(("vocabulary", format!("{kind}{tokens}")));
    let template = if contents.chat_template { "in the file" } else { "none in the file" };
    lines.push(("template", template.to_owned()));
    for (key, text) in &contents.license {
        lines.push(("license", format!("{key}: {text}")));
    }
    lines
}

fn needs_lines(needs: &Needs) -> Vec<(&'static str, String)> {
    let kib = needs.kv_bytes_per_token as f64 / 1024.0;
    let whole = gib(needs.kv_bytes_for_context);
    let cache = match needs.kv_cache_tokens {
        Some(tokens) => format!("{}, which holds {tokens} tokens", gib(needs.kv_cache_bytes)),
        None => format!("{}, for states", gib(needs.kv_cache_bytes)),
    };
    let mut lines = vec![
        ("memory", format!("weights {}, free {}", gib(needs.weight_bytes), gib(needs.memory_free))),
        ("KV", format!("{kib:.1} KiB a token, {whole} for the whole context")),
        ("KV cache", cache),
    ];
    if needs.state_bytes_per_sequence > 0 {
        let mib = needs.state_bytes_per_sequence as f64 / (1 << 20) as f64;
        lines.push(("state", format!("{mib:.2} MiB a sequence, whatever its length")));
    }
    lines
}

fn speed_lines(speed: &Speed) -> Vec<(&'static str, String)> {
    let (decode, prefill) = (speed.decode_tokens_per_second, speed.prefill_tokens_per_second);
    let (read, int8) = (speed.read_bytes_per_second / 1e9, speed.int8_products_per_second / 1e9);
    vec![
        ("speed", format!("about {decode:.0} tok/s for one stream, {prefill:.0} tok/s of prompt (an estimate)")),
        ("", format!("by {read:.1} GB/s and {int8:.0} G int8 products/s, measured now; {}", speed.formula)),
    ]
}
