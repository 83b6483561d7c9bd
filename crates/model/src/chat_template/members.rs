//! Which objects of a request a template writes as a whole (`{{ tool | tojson }}`): there each of their members reaches the prompt, also
//! one that the template does not name.

use serde_json::{Value, json};

use super::dialect::{self, NEEDLE, Trial};
use super::messages::Dialect;

/// What a member that a template may read belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A message.
    Message,
    /// A call in an assistant's `tool_calls`.
    Call,
    /// The `function` of such a call.
    CalledFunction,
    /// An element of `tools`.
    Tool,
    /// The `function` of such an element.
    DescribedFunction,
    /// An element of `documents`.
    Document,
}

/// What a template writes as a whole.
#[derive(Debug)]
pub(super) struct Printed {
    whole: Vec<Member>,
    /// Whether it writes the `name` of a message. That it speaks of `name` says little: functions have names too.
    names_of_messages: bool,
}

impl Printed {
    /// Whether a member of this name is read, if the template speaks of that name (`spoken`) or if not.
    pub(super) fn reads(&self, of: Member, name: &str, spoken: bool) -> bool {
        let named = if (of, name) == (Member::Message, "name") { self.names_of_messages } else { spoken };
        named || self.whole.contains(&of)
    }
}

/// Tries `render` on small conversations, with one more member in each object of a kind and without it.
pub(super) fn probe(dialect: Dialect, render: impl Fn(Trial) -> Option<String>) -> Printed {
    use Member::{Call, CalledFunction, DescribedFunction, Document, Message, Tool};
    let trials = trials(dialect);
    let shows = |object: Member, member: &str| {
        let marked = trials.iter().filter_map(|trial| Some((mark(trial, object, member)?, trial.clone())));
        dialect::any(marked.map(|(marked, trial)| dialect::differ(render(marked), render(trial))))
    };
    let all = [Message, Call, CalledFunction, Tool, DescribedFunction, Document];
    Printed {
        whole: all.into_iter().filter(|object| shows(*object, NEEDLE)).collect(),
        names_of_messages: shows(Message, "name"),
    }
}

/// Conversations in which each kind of object occurs, as different templates like them.
fn trials(dialect: Dialect) -> Vec<Trial> {
    let text = |words: &str| dialect::text(words, dialect.content_parts);
    let say = |role: &str, words: &str| json!({"role": role, "content": text(words)});
    let arguments = || if dialect.object_arguments { json!({"a": 1}) } else { json!("{\"a\": 1}") };
    let calling = |content: Value| {
        let calls = [dialect::called("look_up", arguments())];
        vec![
            say("user", "a"),
            json!({"role": "assistant", "content": content, "tool_calls": calls}),
            dialect::result(text("c")),
        ]
    };
    let plain = |messages: Vec<Value>| Trial { messages, tools: None, documents: None };
    let tooled = |messages: Vec<Value>| Trial { tools: Some(json!([dialect::described()])), ..plain(messages) };
    let informed = |messages: Vec<Value>| Trial { documents: Some(json!([dialect::document()])), ..plain(messages) };
    let mut trials = vec![
        plain(vec![say("user", "a"), say("assistant", "b"), say("user", "c")]),
        plain(vec![say("system", "a"), say("user", "b")]),
        plain(calling(text("b"))),
        tooled(calling(text("b"))),
        tooled(vec![say("user", "a")]),
        tooled(vec![say("system", "a"), say("user", "b")]),
        informed(vec![say("user", "a")]),
        informed(vec![say("system", "a"), say("user", "b")]),
    ];
    if dialect.null_content {
        trials.push(plain(calling(Value::Null)));
    }
    trials
}

/// The same with one more member in each object of this kind (of messages, in those that lack it); `None` if there is none.
fn mark(trial: &Trial, object: Member, member: &str) -> Option<Trial> {
    let mut marked = trial.clone();
    let messages = marked.messages.iter_mut();
    let objects: Vec<&mut Value> = match object {
        Member::Message => messages.filter(|message| message.get(member).is_none()).collect(),
        Member::Call => messages.filter_map(|message| message.pointer_mut("/tool_calls/0")).collect(),
        Member::CalledFunction => {
            messages.filter_map(|message| message.pointer_mut("/tool_calls/0/function")).collect()
        }
        Member::Tool => first(&mut marked.tools, "/0"),
        Member::DescribedFunction => first(&mut marked.tools, "/0/function"),
        Member::Document => first(&mut marked.documents, "/0"),
    };
    let mut found = false;
    for members in objects.into_iter().filter_map(Value::as_object_mut) {
        members.insert(member.to_owned(), NEEDLE.into());
        found = true;
    }
    found.then_some(marked)
}

fn first<'a>(list: &'a mut Option<Value>, path: &str) -> Vec<&'a mut Value> {
    list.as_mut().and_then(|list| list.pointer_mut(path)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::Member::{self, Call, CalledFunction, DescribedFunction, Document, Message, Tool};
    use crate::chat_template::ChatTemplate;

    const ALL: [Member; 6] = [Message, Call, CalledFunction, Tool, DescribedFunction, Document];

    /// Where a template reads a member that it does not name.
    fn printed(source: &str) -> Vec<Member> {
        let template = ChatTemplate::new(source, "", "").unwrap();
        ALL.into_iter().filter(|of| template.reads_member(true, *of, "anything")).collect()
    }

    #[test]
    fn what_a_template_writes_as_a_whole_has_all_its_members_read() {
        let messages = |inner: &str| format!("{{% for m in messages %}}{{{{ m.content }}}}{inner}{{% endfor %}}");
        assert_eq!(printed(&messages("")), []);
        assert_eq!(printed(&messages("{{ m | tojson }}")), [Message, Call, CalledFunction]);
        assert_eq!(printed(&messages("{% for k, v in m.items() %}{{ k }}{% endfor %}")), [Message]);
        assert_eq!(
            printed(&messages("{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}")),
            [Call, CalledFunction]
        );
        assert_eq!(
            printed(&messages("{% for c in m.tool_calls or [] %}{{ c.function }}{% endfor %}")),
            [CalledFunction]
        );
        assert_eq!(printed(&messages("{{ tools }}")), [Tool, DescribedFunction]);
        assert_eq!(
            printed(&messages("{% for t in tools or [] %}{{ t.function | tojson }}{% endfor %}")),
            [DescribedFunction]
        );
        assert_eq!(printed(&messages("{{ tools | length }}{{ documents }}")), [Document]);
        let tool_only = "{% for m in messages %}{% if m.role == 'tool' %}{{ m | tojson }}{% endif %}{% endfor %}";
        assert_eq!(printed(tool_only), [Message]);
    }

    #[test]
    fn what_a_template_names_is_read() {
        let source = "{% for m in messages %}{{ m['name'] }}{{ m.get('prefix') }}{{ m.content }}{{ m.tool_calls | map(attribute='function.x') }}{% if 'partial' in m %}{% endif %}{% endfor %}{{ thinking }}";
        let template = ChatTemplate::new(source, "", "").unwrap();
        for name in ["name", "prefix", "content", "partial", "function", "x"] {
            assert!(template.reads_member(false, Message, name), "{name}");
        }
        assert!(!template.reads_member(false, Message, "thinking") && !template.reads_member(false, Message, "foo"));
        assert!(template.reads_variable(false, "thinking") && !template.reads_variable(false, "name"));
    }

    #[test]
    fn the_name_of_a_function_is_not_that_of_a_message() {
        let reads = |source: &str| ChatTemplate::new(source, "", "").unwrap().reads_member(false, Message, "name");
        let calls = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}{% endfor %}";
        assert!(!reads(calls));
        assert!(!reads(&calls.replace("m.content", "m.content ~ (m.name if m.role == 'tool' else '')")), "a result's");
        assert!(reads(&calls.replace("m.content", "m.content ~ m.name")));
        assert!(reads(
            "{% for m in messages %}{{ m.content }}{% if m.role == 'user' %}{{ m.name }}{% endif %}{% endfor %}"
        ));
    }

    #[test]
    fn of_a_template_that_cannot_be_tried_nothing_is_claimed() {
        assert_eq!(printed("{{ raise_exception('no') }}"), ALL);
    }
}
