//! llama.cpp's grammars (GBNF) in Lark's notation.
//!
//! What is regular becomes a terminal, and what is left a rule: a rule that does not lead back to itself is one regular expression, and so is each run
//! of regular parts in the others. A lexer reads terminals to their longest match, so that where one may end and another begin in two ways, fewer
//! texts are taken than llama.cpp takes, and never others.

mod parse;

use std::fmt::Write;

use crate::GrammarError;
use parse::{Node, Rule};

/// The same grammar for Lark.
///
/// # Errors
/// What is wrong with it, and on which line.
pub(crate) fn to_lark(text: &str, depth: usize) -> Result<String, GrammarError> {
    let rules = parse::parse(text, depth)?;
    let root = rules.iter().position(|rule| rule.name == "root");
    let root = root.ok_or_else(|| GrammarError::new("there is no rule `root`, with which a grammar begins"))?;
    let regular = regular(&rules);
    let mut writer = Writer { regular: &regular, runs: 0, lark: String::new(), terminals: String::new() };
    writer.line(&format!("start: {}", writer.name(root)));
    for (number, rule) in rules.iter().enumerate() {
        let body = if regular[number] { terminal(&rule.body) } else { writer.rule(&rule.body) };
        let name = writer.name(number);
        writer.line(&format!("{name}: {body}"));
    }
    let Writer { lark, terminals, .. } = writer;
    Ok(lark + &terminals)
}

/// Which rules do not lead back to themselves.
fn regular(rules: &[Rule]) -> Vec<bool> {
    // How many references of each rule are not known to be regular yet, and who refers to it.
    let mut open: Vec<usize> = vec![0; rules.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); rules.len()];
    for (number, rule) in rules.iter().enumerate() {
        rule.body.references(&mut |used| {
            open[number] += 1;
            users[used].push(number);
        });
    }
    let mut regular = vec![false; rules.len()];
    let mut ready: Vec<usize> = (0..rules.len()).filter(|&number| open[number] == 0).collect();
    while let Some(number) = ready.pop() {
        regular[number] = true;
        for &user in &users[number] {
            open[user] -= 1;
            if open[user] == 0 {
                ready.push(user);
            }
        }
    }
    regular
}

struct Writer<'a> {
    regular: &'a [bool],
    /// Terminals that were made for runs of regular parts.
    runs: usize,
    lark: String,
    terminals: String,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.lark.push_str(line);
        self.lark.push('\n');
    }

    fn name(&self, rule: usize) -> String {
        if self.regular[rule] { format!("T{rule}") } else { format!("r{rule}") }
    }

    fn is_regular(&self, node: &Node) -> bool {
        let mut all = true;
        node.references(&mut |rule| all &= self.regular[rule]);
        all
    }

    /// A part of a rule that leads back to itself.
    fn rule(&mut self, node: &Node) -> String {
        if self.is_regular(node) {
            return self.run(node);
        }
        match node {
            Node::Sequence(parts) => {
                let runs: Vec<&[Node]> = parts.chunk_by(|a, b| self.is_regular(a) && self.is_regular(b)).collect();
                let written = runs.into_iter().map(|run| match run {
                    [one] => self.rule(one),
                    _ => self.run(&Node::Sequence(run.to_vec())),
                });
                written.collect::<Vec<_>>().join(" ")
            }
            Node::Choice(branches) => {
                let written: Vec<String> = branches.iter().map(|branch| self.rule(branch)).collect();
                format!("({})", written.join(" | "))
            }
            Node::Repeat(part, least, most) => repeated(&self.rule(part), *least, *most),
            Node::Reference(rule) => self.name(*rule),
            Node::Text(_) | Node::Class(_) => terminal(node),
        }
    }

    /// A terminal for what is regular.
    fn run(&mut self, node: &Node) -> String {
        match node {
            Node::Reference(rule) => return self.name(*rule),
            Node::Sequence(parts) if parts.is_empty() => return "\"\"".to_owned(),
            _ => {}
        }
        let name = format!("RUN{}", self.runs);
        self.runs += 1;
        // Writing to a string cannot fail.
        let _ = writeln!(self.terminals, "{name}: {}", terminal(node));
        name
    }
}

/// What is regular, as the body of a terminal.
fn terminal(node: &Node) -> String {
    match node {
        Node::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Node::Class(class) => format!("/{class}/"),
        Node::Reference(rule) => format!("T{rule}"),
        Node::Sequence(parts) if parts.is_empty() => "\"\"".to_owned(),
        Node::Sequence(parts) => parts.iter().map(terminal).collect::<Vec<_>>().join(" "),
        Node::Choice(branches) => format!("({})", branches.iter().map(terminal).collect::<Vec<_>>().join(" | ")),
        Node::Repeat(part, least, most) => repeated(&terminal(part), *least, *most),
    }
}

fn repeated(part: &str, least: usize, most: Option<usize>) -> String {
    match (least, most) {
        (0, None) => format!("({part})*"),
        (1, None) => format!("({part})+"),
        (0, Some(1)) => format!("({part})?"),
        (_, None) => format!("({part})~{least} ({part})*"),
        (_, Some(most)) => format!("({part})~{least}..{most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_regular_becomes_a_terminal() {
        let lark = to_lark("root ::= \"a\" [b-d]{2,} digit? # a comment\ndigit ::= [0-9]", 10).unwrap();
        assert_eq!(lark, "start: T0\nT0: \"a\" (/[b-d]/)~2 (/[b-d]/)* (T1)?\nT1: /[0-9]/\n");
    }

    #[test]
    fn what_leads_back_to_itself_is_a_rule_of_terminals() {
        let lark = to_lark("root ::= \"[\" ws (root (\",\" ws root)*)? \"]\" ws\nws ::= \" \"*", 10).unwrap();
        let expected = "start: r0\nr0: RUN0 (r0 (RUN1 r0)*)? RUN2\nT1: (\" \")*\n";
        assert_eq!(lark, format!("{expected}RUN0: \"[\" T1\nRUN1: \",\" T1\nRUN2: \"]\" T1\n"));
    }

    #[test]
    fn an_error_names_the_line() {
        for (text, line, reason) in [
            ("root ::= a", 1, "there is no rule `a`"),
            ("root ::= \"a\"\nb ::= (\"c\"", 2, "a bracket is not closed"),
            ("root ::= \"a", 1, "a string is not closed"),
            ("root ::= [a", 1, "a class is not closed"),
            ("root ::= \"a\"{3,2}", 1, "3 to 2 times is no number of times"),
            ("root = \"a\"", 1, "`::=` is missing after the rule's name"),
            ("root ::= \"a\"\nroot ::= \"b\"", 2, "the rule `root` is there twice"),
        ] {
            assert_eq!(to_lark(text, 10).unwrap_err(), GrammarError::on_line(line, reason), "{text}");
        }
        assert!(to_lark("a ::= \"b\"", 10).is_err(), "there is no root");
        assert!(to_lark(&format!("root ::= {}\"a\"{}", "(".repeat(11), ")".repeat(11)), 10).is_err());
    }
}
