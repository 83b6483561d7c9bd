//! Headers that say how a request is to be served, at every path that computes.

use crate::access::{MAX_USER_BYTES, gateway};
use crate::description::{Parameter, Place, Shape};

/// The longest deadline, in milliseconds.
const DAY: i64 = 86_400_000;

/// All of them.
pub(super) const FOR_ANSWERS: &[Parameter] = &[
    Parameter {
        place: Place::Header,
        name: "x-request-timeout-ms",
        shape: Shape::Whole(Some(1), Some(DAY)),
        about: "How long the whole answer may take.",
    },
    Parameter {
        place: Place::Header,
        name: "x-slo-ttft-ms",
        shape: Shape::Whole(Some(1), Some(DAY)),
        about: "How long the first token may take.",
    },
    Parameter {
        place: Place::Header,
        name: "x-parkade-supersedes",
        shape: Shape::ShortText(128),
        about: "The key of an earlier request of the same sender, whose place this one takes.",
    },
    Parameter {
        place: Place::Header,
        name: gateway::FAIRNESS_ID,
        shape: Shape::ShortText(MAX_USER_BYTES),
        about: "On whose account an inference gateway has it run, where no API key says it.",
    },
    Parameter {
        place: Place::Header,
        name: gateway::OBJECTIVE,
        shape: Shape::Text,
        about: "What an inference gateway has it for, which means a class here.",
    },
];
