//! How models set their thoughts apart from their answers.

/// Markers around thoughts, as `<think>` and `</think>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoning {
    /// What thoughts begin with.
    pub start: String,
    /// What thoughts end with.
    pub end: String,
}

/// Markers of families, as their templates have them. The first is that of DeepSeek R1, Qwen 3, GLM 4.5 and most others; then gpt-oss, Gemma 4,
/// Seed-OSS, Magistral, Command A Reasoning, Kimi, EXAONE Deep and Apertus.
const MARKERS: [(&str, &str); 9] = [
    ("<think>", "</think>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|channel>thought", "<channel|>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("◁think▷", "◁/think▷"),
    ("<thought>", "</thought>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
];

impl Reasoning {
    /// The markers that a chat template's source mentions; `None` if it knows no thoughts.
    pub fn of_template(source: &str) -> Option<Reasoning> {
        let knows = |start: &str, end: &str| match start {
            // The end of thoughts is there also the end of other messages.
            "<|channel|>analysis<|message|>" => source.contains("<|channel|>") && source.contains("<|message|>"),
            // Those of DeepSeek R1 and its like cut old thoughts off at the end and never write the beginning.
            _ => source.contains(end),
        };
        let found = MARKERS.iter().find(|(start, end)| knows(start, end));
        found.map(|&(start, end)| Reasoning { start: start.to_owned(), end: end.to_owned() })
    }

    /// Whether an answer after this rendered prompt begins inside of thoughts: the prompt ends with the marker of their beginning, and perhaps white
    /// space.
    pub fn is_open_after(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.start.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_inside_of_thoughts_that_the_prompt_opens() {
        let reasoning = Reasoning::of_template("<think></think>").expect("it has both");
        assert!(reasoning.is_open_after("<|im_start|>assistant\n<think>\n"));
        assert!(!reasoning.is_open_after("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
        assert!(!reasoning.is_open_after("What is <think>?<|im_end|>\n<|im_start|>assistant\n"));
    }
}
