"""What schemathesis asks is made short: a long answer is right, and slow."""

import schemathesis

# Fields that say how long an answer is, or how many there are.
LIMITS = ("max_tokens", "max_completion_tokens", "n_predict", "max_output_tokens", "n", "best_of")
MOST = 3


def is_long(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and (value > MOST or value == -1)


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    described = context.operation.body[0].definition["schema"]["properties"] if context.operation.body else {}
    short = {name: MOST if name in LIMITS and is_long(value) else value for name, value in body.items()}
    for name in ("max_tokens", "max_output_tokens"):
        if name in described and not any(limit in body for limit in LIMITS):
            short[name] = MOST
    # An answer in the background goes on when the test is over.
    short.pop("background", None)
    return short
