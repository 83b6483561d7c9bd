#!/usr/bin/env python3
"""Checks the shape of the house: which way imports run, and how wide Markdown is.

For each crate:
- files import each other in no circle. A path counts as an import of the file that defines what it names,
  also when a `mod.rs` hands it on. What a file takes from a folder that it stands in (`super::`) does not
  count: the two are one thing in two depths. Nor does what stands under `#[cfg(test)]`.
- the folders named in LAYERS import only those that stand before them.
- the folders named in APART do not import each other.

Names of crates as arguments check these alone.

Markdown is wrapped at 100 columns, code too. Tables and words that cannot be broken may be wider.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100

# The folders and files of a crate from the ground up; a file inside a folder may have a floor of its own.
# What is not named is held only to have no circles.
LAYERS = {
    "model": """error keys loader config parts/rope parts/routing plan batch parts families forward""".split(),
    # A live request and its figures stand below the registry that holds them all.
    "core": """error refusal sampling vocabulary memory stop request event parking_lot/types requests/tape requests/live
        figures process_metrics metrics backend requests stream blocks sampler request_limits config stepper parking_lot engine load
        chat""".split(),
    # The policies know nothing of threads, and nothing below them knows a policy.
    "pool": """time units task rates error tenant_policy config decision stats policy fifo lot pool jobs""".split(),
    "server": """description http access generate work dialects/fields dialects/metadata dialects/numbers dialects/timings dialects/progress dialects/headers dialects/envelope
        dialects/route dialects/fill_in dialects/chat dialects/request dialects/openai dialects/anthropic dialects/responses
        dialects/llama_cpp dialects/batches dialects routes""".split(),
}

# Folders of a crate of which none imports another, whatever their order above.
APART = {
    "server": """dialects/openai dialects/anthropic dialects/responses dialects/llama_cpp dialects/batches""".split(),
}

# Crates whose files may form circles, and why.
CIRCLES = {
    "jinja": "evaluation, values, filters and methods are mutually recursive, as the language is",
}

ITEM = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:default\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?(?:extern\s+\"C\"\s+)?"
    r"(?:fn|struct|enum|union|trait|type|const|static|macro_rules!)\s+([A-Za-z_]\w*)",
    re.M,
)
USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
MOD = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", re.M)
PATH = re.compile(r"\b((?:crate|self|super)(?:::\w+)+)")


def without_comments_and_strings(text):
    text = re.sub(r'r(#+)".*?"\1', '""', text, flags=re.S)
    text = re.sub(r"'(?:[^'\\\n]|\\[^\n])'", "' '", text)
    text = re.sub(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', lambda m: '""' if m[0][0] == '"' else "", text, flags=re.S)
    return text


def without_tests(text):
    """Drops each item under `#[cfg(test)]` (or any condition that names `test`)."""
    kept, at = [], 0
    for match in re.finditer(r"#\[cfg\((?:all\()?test\b[^\]]*\]", text):
        if match.start() < at:
            continue
        kept.append(text[at : match.start()])
        end = match.end()
        opening, semicolon = text.find("{", end), text.find(";", end)
        if semicolon >= 0 and (opening < 0 or semicolon < opening):
            at = semicolon + 1
            continue
        depth, at = 1, opening + 1
        while depth and at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
    return "".join(kept) + text[at:]


def expand(tree):
    """`a::{b, c::{d as e}}` as [(["a", "b"], "b"), (["a", "c", "d"], "e")]."""
    tree = tree.strip()
    opening = tree.find("{")
    if opening < 0:
        path, _, name = tree.partition(" as ")
        parts = [part.strip() for part in path.split("::") if part.strip()]
        if parts[-1] == "self":
            return [(parts[:-1], name.strip() or (parts[-2] if parts[1:] else ""))]
        return [(parts, name.strip() or parts[-1])]
    head = [part.strip() for part in tree[:opening].split("::") if part.strip()]
    inside, depth, start, found = tree[opening + 1 : tree.rindex("}")], 0, 0, []
    for at, letter in enumerate(inside + ","):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            if inside[start:at].strip():
                found += [(head + path, name or head[-1]) for path, name in expand(inside[start:at])]
            start = at + 1
    return found


class Module:
    def __init__(self, file, path, text):
        text = without_tests(without_comments_and_strings(text))
        self.file, self.path = file, path
        self.children = set(MOD.findall(text))
        self.items = set(ITEM.findall(text))
        self.uses = [use for tree in USE.findall(text) for use in expand(tree)]
        body = USE.sub("", text)
        self.mentions = {tuple(path.split("::")) for path in PATH.findall(body)}


class Crate:
    def __init__(self, folder):
        self.name = folder.name
        self.modules = {}
        source = folder / "src"
        for root in ("lib.rs", "main.rs"):
            if (source / root).exists():
                self.read(source / root, (), source)

    def read(self, file, path, folder):
        module = self.modules[path] = Module(file, path, file.read_text())
        for child in module.children:
            for place in (folder / f"{child}.rs", folder / child / "mod.rs"):
                if place.exists():
                    self.read(place, (*path, child), folder / child)

    def resolve(self, module, parts, seen=()):
        """The module that defines what a path names, as seen from a module; None outside of the crate."""
        parts = list(parts)
        here = module.path
        if parts[0] == "crate":
            here, parts = (), parts[1:]
        elif parts[0] in ("self", "super"):
            while parts and parts[0] in ("self", "super"):
                here = here[:-1] if parts[0] == "super" else here
                parts = parts[1:]
        elif (*here, parts[0]) not in self.modules:
            return None
        while parts and (*here, parts[0]) in self.modules:
            here, parts = (*here, parts[0]), parts[1:]
        found = self.modules.get(here)
        if found is None or not parts or parts[0] == "*" or parts[0] in found.items or (here, parts[0]) in seen:
            return found
        for path, name in found.uses:
            if name == parts[0]:
                return self.resolve(found, path, (*seen, (here, parts[0]))) or found
        for path, name in found.uses:
            if name == "*":
                other = self.resolve(found, path[:-1], (*seen, (here, parts[0])))
                if other and parts[0] in other.items:
                    return other
        return found

    def imports(self):
        """{(from, to): names} between modules."""
        found = {}
        for module in self.modules.values():
            paths = [path for path, _ in module.uses if path] + list(module.mentions)
            for parts in paths:
                target = self.resolve(module, parts)
                if target and target is not module and parts[-1] != "*":
                    found.setdefault((module.path, target.path), set()).add(parts[-1])
        return found


def circles(edges):
    """Groups of modules that import each other, by Tarjan's algorithm."""
    graph = {}
    for begin, end in edges:
        graph.setdefault(begin, set()).add(end)
        graph.setdefault(end, set())
    index, low, stack, groups = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return groups


def check_crate(crate):
    edges = {(begin, end): names for (begin, end), names in crate.imports().items() if begin[: len(end)] != end}
    shown = lambda path: str(crate.modules[path].file.relative_to(ROOT))
    for group in [] if crate.name in CIRCLES else circles(edges):
        yield f"crates/{crate.name}: these files import each other in a circle:"
        for (begin, end), names in sorted(edges.items()):
            if begin in group and end in group:
                yield f"  {shown(begin)} -> {shown(end)}: {', '.join(sorted(names))}"
    layers = [tuple(name.split("/")) for name in LAYERS.get(crate.name, [])]

    def floor(path):
        own = [(len(layer), number) for number, layer in enumerate(layers) if path[: len(layer)] == layer]
        return max(own)[1] if own else None

    for (begin, end), names in sorted(edges.items()):
        if None not in (floor(begin), floor(end)) and floor(begin) < floor(end):
            yield f"{shown(begin)} imports {', '.join(sorted(names))} upward, from {shown(end)}"
    apart = [tuple(name.split("/")) for name in APART.get(crate.name, [])]
    for (begin, end), names in sorted(edges.items()):
        houses = [next((one for one in apart if path[: len(one)] == one), None) for path in (begin, end)]
        if None not in houses and houses[0] != houses[1]:
            yield f"{shown(begin)} imports {', '.join(sorted(names))} of its neighbour, from {shown(end)}"
    for layer in layers + apart:
        if layer not in crate.modules:
            yield f"scripts/check_house.py: crates/{crate.name} has no module {'/'.join(layer)}"


def check_markdown(file):
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if len(line) <= WIDTH or line.lstrip().startswith("|"):
            continue
        if " " in line.strip().lstrip("-*> ")[:WIDTH]:
            yield f"{file.relative_to(ROOT)}:{number}: {len(line)} columns; wrap it at {WIDTH}"


def main(crates):
    folders = [folder for folder in sorted((ROOT / "crates").iterdir()) if folder.name in (crates or [folder.name])]
    faults = [fault for folder in folders for fault in check_crate(Crate(folder))]
    if not crates:
        listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
        faults += [fault for name in listed.stdout.split() for fault in check_markdown(ROOT / name)]
    print("\n".join(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main(sys.argv[1:])
