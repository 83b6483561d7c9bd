"""What the README shows works as it says."""

import json
import re

import httpx

from process import PATIENCE, ROOT


def test_the_first_question_of_the_readme_is_answered_rightly(server):
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"curl http://127\.0\.0\.1:1234(\S+) .*? -d '(.*?)'", readme, re.DOTALL)
    assert shown, "the README shows no request"
    path, body = shown.groups()
    answer = httpx.post(server.url + path, json=json.loads(body), timeout=PATIENCE).json()
    assert "H2O" in answer["choices"][0]["message"]["content"]
