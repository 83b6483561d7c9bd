//! What a line typed into the chat means.

use clap::builder::Resettable;
use clap::{Args, Command, FromArgMatches};

use crate::args::SamplingArgs;

/// What `/help` prints.
pub const HELP: &str = "\
/system TEXT      set the system message (without TEXT: remove it)
/set KEY VALUE    change a sampling parameter (without KEY: show them)
/clear            forget the conversation
/exit             leave (or Ctrl-D)
Ctrl-C            stop the answer";

/// A line.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// A message for the model.
    Message(String),
    /// `/help`.
    Help,
    /// `/system`.
    System(Option<String>),
    /// `/clear`.
    Clear,
    /// `/set` with or without a key and value.
    Set(Option<(String, String)>),
    /// `/exit`.
    Exit,
    /// A command that there is not, or that lacks something.
    Wrong(String),
}

impl Line {
    /// Reads a line. `//` at the beginning stands for a message that begins with a slash.
    #[must_use]
    pub fn parse(text: &str) -> Line {
        let text = text.trim();
        if text.is_empty() {
            return Line::Empty;
        }
        let Some(command) = text.strip_prefix('/') else { return Line::Message(text.to_owned()) };
        if command.starts_with('/') {
            return Line::Message(command.to_owned());
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "help" | "?" => Line::Help,
            "system" => Line::System((!rest.is_empty()).then(|| rest.to_owned())),
            "clear" => Line::Clear,
            "exit" | "quit" | "bye" => Line::Exit,
            "set" => match rest.split_once(char::is_whitespace) {
                Some((key, value)) => Line::Set(Some((key.to_owned(), value.trim().to_owned()))),
                None if rest.is_empty() => Line::Set(None),
                None => Line::Wrong(format!("/set {rest}: a value is missing, as in /set temperature 0.5")),
            },
            _ => Line::Wrong(format!("there is no /{name}; /help lists the commands")),
        }
    }
}

/// The parameters with one changed, by the same parser that reads the flags.
///
/// # Errors
/// The key is unknown or the value cannot be read, in words for the terminal.
pub fn changed(sampling: &SamplingArgs, key: &str, value: &str) -> Result<SamplingArgs, String> {
    let key = key.trim_start_matches('-').replace('_', "-");
    let flags =
        SamplingArgs::augment_args_for_update(Command::new("/set").no_binary_name(true).disable_help_flag(true))
            .mut_args(|arg| arg.default_value(Resettable::Reset).env(Resettable::Reset));
    let known: Vec<String> = flags.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    if !known.contains(&key) {
        return Err(format!("there is no '{key}'; there are {}", known.join(", ")));
    }
    let mut changed = sampling.clone();
    flags
        .try_get_matches_from([format!("--{key}={value}")])
        .and_then(|matches| changed.update_from_arg_matches(&matches))
        .map_err(|error| {
            error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })?;
    Ok(changed)
}

/// The parameters, one a line.
#[must_use]
pub fn shown(sampling: &SamplingArgs) -> String {
    let open = |value: Option<String>| value.unwrap_or_else(|| "(open)".to_owned());
    let rows = [
        ("temperature", sampling.temperature.to_string()),
        ("top-k", sampling.top_k.to_string()),
        ("top-p", sampling.top_p.to_string()),
        ("min-p", sampling.min_p.to_string()),
        ("typical-p", sampling.typical_p.to_string()),
        ("presence-penalty", sampling.presence_penalty.to_string()),
        ("frequency-penalty", sampling.frequency_penalty.to_string()),
        ("repetition-penalty", sampling.repetition_penalty.to_string()),
        ("seed", open(sampling.seed.map(|n| n.to_string()))),
        ("max-tokens", open(sampling.max_tokens.map(|n| n.to_string()))),
    ];
    rows.map(|(key, value)| format!("{key:<18} {value}")).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        sampling: SamplingArgs,
    }

    fn sampling() -> SamplingArgs {
        Flags::parse_from(["test"]).sampling
    }

    #[test]
    fn lines_are_messages_unless_they_begin_with_one_slash() {
        assert_eq!(Line::parse("  "), Line::Empty);
        assert_eq!(Line::parse(" hi there "), Line::Message("hi there".into()));
        assert_eq!(Line::parse("//etc is a path"), Line::Message("/etc is a path".into()));
        assert_eq!(Line::parse("/help"), Line::Help);
        assert_eq!(Line::parse("/system Be brief. "), Line::System(Some("Be brief.".into())));
        assert_eq!(Line::parse("/system"), Line::System(None));
        assert_eq!(Line::parse("/clear"), Line::Clear);
        assert_eq!(Line::parse("/set top_k  5"), Line::Set(Some(("top_k".into(), "5".into()))));
        assert_eq!(Line::parse("/set"), Line::Set(None));
        assert_eq!(Line::parse("/exit"), Line::Exit);
        assert!(matches!(Line::parse("/set seed"), Line::Wrong(m) if m.contains("a value is missing")));
        assert!(matches!(Line::parse("/sytem x"), Line::Wrong(m) if m.contains("/help")));
    }

    #[test]
    fn set_changes_one_parameter_and_leaves_the_others() {
        let before = changed(&sampling(), "seed", "7").expect("a number");
        let after = changed(&before, "top_k", "5").expect("a number");
        assert_eq!(after, SamplingArgs { top_k: 5, seed: Some(7), ..sampling() });
        assert_eq!(changed(&after, "presence-penalty", "-1.5").expect("a number").presence_penalty, -1.5);
    }

    #[test]
    fn set_says_what_is_wrong_with_a_key_or_a_value() {
        let error = |key, value| changed(&sampling(), key, value).expect_err("wrong");
        assert!(error("tmp", "1").contains("temperature"));
        assert!(error("temperature", "warm").contains("'warm'"));
        assert!(error("top-k", "-1").contains("'-1'"));
    }

    #[test]
    fn every_parameter_is_shown() {
        let text = shown(&sampling());
        let flags = SamplingArgs::augment_args(Command::new("test"));
        for key in flags.get_arguments().filter_map(|arg| arg.get_long()) {
            assert!(text.lines().any(|line| line.starts_with(&format!("{key} "))), "{key}");
        }
    }
}
