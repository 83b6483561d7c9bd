//! What is asked.

use super::{Api, Class, Lengths, Mix, Slo, Target, Tenants, prompt};
use crate::random::Random;
use serde_json::{Value, json};
use std::time::Duration;

/// The requests of a run. Request number n follows from the seed and n alone.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What all choices follow from.
    pub seed: u64,
    /// Numbers of requests begin here: phases of one run must not repeat each other's prompts.
    pub first: u64,
    /// Tokens of the prompts.
    pub prompt_tokens: Lengths,
    /// Tokens of the answers (`max_tokens`, with `ignore_eos`).
    pub output_tokens: Lengths,
    /// How many tokens at the start of every prompt are the same for all.
    pub shared_prefix: usize,
    /// How many words make how many tokens on this server.
    pub sizing: Sizing,
    /// The classes.
    pub mix: Mix,
    /// Only this class is sent, at the same moments and with the same lengths as with the others, but with other prompts: what it costs
    /// itself.
    pub only: Option<Class>,
    /// The tenants, if any; sent as `user`.
    pub tenants: Option<Tenants>,
    /// Whether answers may end by themselves before their wanted length.
    pub allow_eos: bool,
    /// What the server is told of the deadlines, if it is to be told.
    pub announced: Option<Slo>,
    /// The longest time after which a client vanishes; each draws its own between 0 and this.
    pub vanish_within: Option<Duration>,
}

/// One request to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The class that it asks for.
    pub class: Class,
    /// The tenant that it comes from.
    pub tenant: Option<String>,
    /// The text of its prompt.
    pub prompt: String,
    /// Tokens of the answer.
    pub max_tokens: usize,
    /// When the client vanishes, counted from sending.
    pub vanish_after: Option<Duration>,
}

/// How prompts become as long as wanted: tokens = overhead + words x tokens_per_word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizing {
    /// What the chat template and special tokens add.
    pub overhead: f64,
    /// Tokens of one word.
    pub tokens_per_word: f64,
}

impl Default for Sizing {
    /// The words are chosen so that this is nearly right without asking the server.
    fn default() -> Self {
        Sizing { overhead: 0.0, tokens_per_word: 1.0 }
    }
}

impl Sizing {
    /// The line through two measured (words, tokens).
    pub fn through(first: (usize, usize), second: (usize, usize)) -> Option<Sizing> {
        let words = second.0 as f64 - first.0 as f64;
        let tokens_per_word = (second.1 as f64 - first.1 as f64) / words;
        let overhead = first.1 as f64 - tokens_per_word * first.0 as f64;
        (tokens_per_word.is_finite() && tokens_per_word > 0.1)
            .then_some(Sizing { overhead: overhead.max(0.0), tokens_per_word })
    }

    /// How many words make a prompt of `tokens`; at least one.
    pub fn words(&self, tokens: usize) -> usize {
        let words = (tokens as f64 - self.overhead) / self.tokens_per_word;
        words.round().max(1.0) as usize
    }
}

impl Workload {
    /// Whether request number `index` is sent at all.
    pub fn is_sent(&self, index: usize) -> bool {
        self.only.is_none_or(|only| self.mix.draw(&mut Random::new(self.seed, self.first + index as u64)) == only)
    }

    /// Request number `index`.
    pub fn job(&self, index: usize) -> Job {
        let mut random = Random::new(self.seed, self.first + index as u64);
        let class = self.mix.draw(&mut random);
        let tenant = self.tenants.as_ref().map(|tenants| tenants.draw(&mut random).to_string());
        let words = self.sizing.words(self.prompt_tokens.draw(&mut random));
        let max_tokens = self.output_tokens.draw(&mut random);
        let vanish_after = self.vanish_within.map(|longest| longest.mul_f64(random.unit()));
        let shared = ((self.shared_prefix as f64 / self.sizing.tokens_per_word).round() as usize).min(words);
        // The shared part has a stream of its own that no request uses.
        let mut prompt = prompt::words(&mut Random::new(self.seed, u64::MAX), shared);
        if shared > 0 && words > shared {
            prompt.push(' ');
        }
        if self.only.is_some() {
            random = Random::new(!self.seed, self.first + index as u64);
        }
        prompt += &prompt::words(&mut random, words - shared);
        Job { class, tenant, prompt, max_tokens, vanish_after }
    }

    /// The JSON body for `job`.
    pub fn body(&self, job: &Job, target: &Target) -> Value {
        let mut body = json!({
            "model": target.model,
            "max_tokens": job.max_tokens,
            "stream": true,
            "stream_options": {"include_usage": true},
            "temperature": 0.0,
        });
        match target.api {
            Api::Chat => body["messages"] = json!([{"role": "user", "content": job.prompt}]),
            Api::Completions => body["prompt"] = json!(job.prompt),
        }
        if !self.allow_eos {
            body["ignore_eos"] = json!(true);
        }
        if let Some(tier) = job.class.service_tier() {
            body["service_tier"] = json!(tier);
        }
        if let Some(tenant) = &job.tenant {
            body["user"] = json!(tenant);
        }
        body
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Sizing, Workload};
    use crate::load::{Api, Class, Lengths, Mix, Target};
    use std::time::Duration;

    pub(in crate::load) fn workload() -> Workload {
        Workload {
            seed: 1,
            first: 0,
            prompt_tokens: Lengths::Uniform(20, 40),
            output_tokens: Lengths::Fixed(8),
            shared_prefix: 0,
            sizing: Sizing::default(),
            mix: Mix::only(Class::Normal),
            only: None,
            tenants: None,
            allow_eos: false,
            announced: None,
            vanish_within: None,
        }
    }

    #[test]
    fn a_request_follows_from_seed_and_number_alone() {
        let plan = workload();
        assert_eq!(plan.job(7), plan.job(7));
        assert_ne!(plan.job(7).prompt, plan.job(8).prompt);
        let later = Workload { first: 7, ..workload() };
        assert_eq!(later.job(0), plan.job(7));
    }

    #[test]
    fn a_class_alone_has_the_same_requests_with_other_prompts() {
        let mix = Mix::new(vec![(Class::High, 0.2), (Class::Normal, 0.8)]);
        let all = Workload { mix, ..workload() };
        let alone = Workload { only: Some(Class::High), ..all.clone() };
        assert!((0..500).all(|index| all.is_sent(index)));
        for index in 0..500 {
            let (among, apart) = (all.job(index), alone.job(index));
            assert_eq!(alone.is_sent(index), among.class == Class::High);
            assert_eq!((among.class, among.max_tokens), (apart.class, apart.max_tokens));
            assert_eq!(among.prompt.split(' ').count(), apart.prompt.split(' ').count());
            assert_ne!(among.prompt, apart.prompt);
        }
    }

    #[test]
    fn prompts_share_only_what_they_are_told_to_share() {
        let plan = Workload { shared_prefix: 10, ..workload() };
        let words = |index: usize| plan.job(index).prompt.split(' ').map(str::to_string).collect::<Vec<_>>();
        let (first, second) = (words(0), words(1));
        assert_eq!(first[..10], second[..10]);
        assert_ne!(first[10..16], second[10..16]);
        assert!((20..=40).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn sizing_takes_the_templates_tokens_off() {
        let sizing = Sizing::through((20, 57), (120, 162)).expect("a line");
        assert!((sizing.tokens_per_word - 1.05).abs() < 1e-9 && (sizing.overhead - 36.0).abs() < 1e-9);
        assert_eq!(sizing.words(141), 100);
        assert_eq!(sizing.words(5), 1);
        assert_eq!(Sizing::through((20, 57), (120, 57)), None);
        assert_eq!(Sizing::through((20, 57), (20, 60)), None);
    }

    #[test]
    fn bodies_say_what_peers_need_and_no_more() {
        let plan =
            Workload { mix: Mix::only(Class::High), tenants: Some("alice".parse().expect("a tenant")), ..workload() };
        let target = Target::new("http://127.0.0.1:1", Api::Chat, Duration::from_secs(1)).expect("a target");
        let job = plan.job(0);
        let body = plan.body(&job, &target);
        assert_eq!(body["messages"][0]["content"], job.prompt.as_str());
        assert_eq!((&body["service_tier"], &body["user"]), (&"priority".into(), &"alice".into()));
        assert_eq!((&body["ignore_eos"], &body["max_tokens"]), (&true.into(), &8.into()));
        let plain = workload().body(&workload().job(0), &target);
        assert!(plain.get("service_tier").is_none() && plain.get("user").is_none());
    }
}
