#!/usr/bin/env python3
"""Asks llama.cpp about a model and writes its answers, for crates/model/tests/arch to compare with.

    python3 scripts/oracle.py --out crates/model/tests/arch/answers MODEL.gguf...

Needs llama.cpp as the Python packages `llama-cpp-py-sync==0.11739` (build b11739), `gguf` and `numpy`, in
an environment of its own. Each model is asked twice: as it is, where llama.cpp rounds activations to 8 bits
before it multiplies, and with all weights widened to F32 (`_f32`), where it rounds nothing. Keys and values
are F32; no flash attention, no repacked weights, one thread, the context that the model was made for but 512
at most.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from llama_cpp_py_sync._cffi_bindings import ffi, get_lib

LIB = get_lib()
CONTEXT = 512
LISTED = 10
POSITIONS = [1, 2, 3, 5, 8, 13, 20, 33, 64, 65, 100, 120]
RANK = 4
LONG = (
    "the water was just over two people who had never been down there before "
    "and they could not see how to make a way out of it "
)
TEXTS = [
    "a quick test",
    "The Water is COLD, isn't it?",
    "café naïve 中文 text 2024!",
    "  spaces   and\ttabs\nand lines  ",
    "emoji 😀 and αβ да",
    LONG * 3,
]
PAIRS = [
    ("what is water", "water is what people drink"),
    ("what is water", "the first train left at ten"),
    ("how long", "very long words, after all"),
    ("who", LONG * 3),
]
# A BPE of plain letters has no others; bytes outside of it would be dropped.
LETTERS = ["aquicktest", "thewateriscold", "abc\nxyz", "zzzzzzzz", "q", LONG.replace(" ", "") * 3]


def ids_of(vocabulary):
    """120 ids that are all over the vocabulary."""
    return [1] + [3 + (n * n * 7 + n * 31) % (vocabulary - 3) for n in range(1, 120)]


def widened(path, out):
    """Writes the model with all weights in F32."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        inner = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, values.reshape([int(n) for n in reversed(tensor.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def floats(pointer, count):
    return np.frombuffer(ffi.buffer(pointer, 4 * count), np.float32).astype(np.float64)


class Model:
    """A model in llama.cpp, with one sequence."""

    def __init__(self, path):
        params = LIB.llama_model_default_params()
        params.n_gpu_layers, params.use_extra_bufts = 0, False
        self.model = LIB.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        self.vocab = LIB.llama_model_get_vocab(self.model)
        self.context = min(CONTEXT, LIB.llama_model_n_ctx_train(self.model))
        params = LIB.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.context
        params.n_threads = params.n_threads_batch = 1
        params.type_k = params.type_v = LIB.GGML_TYPE_F32
        params.flash_attn_type = LIB.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.ctx = LIB.llama_init_from_model(self.model, params)
        self.pooling = LIB.llama_pooling_type(self.ctx)
        LIB.llama_set_embeddings(self.ctx, self.pooling > 0)

    def close(self):
        LIB.llama_free(self.ctx)
        LIB.llama_model_free(self.model)

    def text(self, key):
        value = LIB.llama_model_chat_template(self.model, key.encode())
        return ffi.string(value).decode() if value else None

    def tokens(self, text, special=True):
        data, room = text.encode(), len(text.encode()) + 16
        out = ffi.new("llama_token[]", room)
        count = LIB.llama_tokenize(self.vocab, data, len(data), out, room, special, True)
        return list(out[0:count])

    def run(self, ids):
        """The rows of logits after each token, or what is pooled of all."""
        memory = LIB.llama_get_memory(self.ctx)
        if memory:
            LIB.llama_memory_clear(memory, True)
        batch = LIB.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for at, token in enumerate(ids):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, at, 1, 1
            batch.seq_id[at][0] = 0
        if LIB.llama_decode(self.ctx, batch) != 0:
            raise SystemExit("llama.cpp cannot run the model")
        if self.pooling > 0:
            of = LIB.llama_model_n_cls_out if self.pooling == RANK else LIB.llama_model_n_embd_out
            width = of(self.model)
            found = floats(LIB.llama_get_embeddings_seq(self.ctx, 0), width)
        else:
            width = LIB.llama_vocab_n_tokens(self.vocab)
            found = [floats(LIB.llama_get_logits_ith(self.ctx, at), width) for at in range(len(ids))]
        LIB.llama_batch_free(batch)
        return found

    def pair(self, query, document):
        """A query and a document as llama.cpp's server joins them for a reranker."""
        template = self.text("rerank")
        if template:
            return self.tokens(template.replace("{query}", query).replace("{document}", document), special=False)
        eos = [LIB.llama_vocab_eos(self.vocab)] * LIB.llama_vocab_get_add_eos(self.vocab)
        sep = [LIB.llama_vocab_sep(self.vocab)] * LIB.llama_vocab_get_add_sep(self.vocab)
        bos = [LIB.llama_vocab_bos(self.vocab)] * LIB.llama_vocab_get_add_bos(self.vocab)
        return bos + self.tokens(query, False) + eos + sep + self.tokens(document, False) + eos


def likeliest(model, ids, positions):
    found = {}
    for after, logits in enumerate(model.run(ids), 1):
        if after in positions:
            top = logits.max()
            logs = logits - (top + math.log(np.exp(logits - top).sum()))
            best = np.argsort(-logs, kind="stable")[:LISTED]
            found[str(after)] = [[int(token), round(float(logs[token]), 5)] for token in best]
    return found


def embedding(model, ids):
    values = model.run(ids)
    return values / np.linalg.norm(values), float(np.linalg.norm(values))


def gap_of_likeliest(one, other):
    return max(
        abs(log - dict(other[after])[token])
        for after in one
        for token, log in one[after]
        if token in dict(other[after])
    )


def answers(name, narrow, wide, given):
    """What llama.cpp says of the model as it is and of the widened one. `given` are earlier answers, to ask the same."""
    letters = narrow.tokens("a b", False) == narrow.tokens("ab", False)
    texts = LETTERS if letters else TEXTS
    found = {"model": name, "ctx": narrow.context}
    if narrow.pooling == RANK:
        plain = [(query.replace(" ", ""), text.replace(" ", "").replace(",", "")) for query, text in PAIRS]
        asked = plain if letters else PAIRS
        if given:
            asked = [(case["query"], case["document"]) for case in given["scores"]]
        found["scores"] = []
        for query, document in asked:
            ids = narrow.pair(query, document)
            score, exact = float(narrow.run(ids)[0]), float(wide.run(ids)[0])
            case = {"query": query, "document": document, "ids": ids}
            found["scores"].append(case | {"score": round(score, 6), "score_f32": round(exact, 6)})
        gap = max(abs(case["score"] - case["score_f32"]) for case in found["scores"])
    elif narrow.pooling > 0:
        found["embeddings"], gap = [], 0.0
        for text in [case["text"] for case in given["embeddings"]] if given else texts:
            ids = narrow.tokens(text)
            (values, length), (exact, _) = embedding(narrow, ids), embedding(wide, ids)
            rounded = [[round(float(x), 6) for x in row] for row in (values, exact)]
            case = {"text": text, "ids": ids, "length_before_normalising": round(length, 5)}
            found["embeddings"].append(case | {"embedding": rounded[0], "embedding_f32": rounded[1]})
            gap = max(gap, 1 - float(values @ exact))
    else:
        found["ids"] = given["ids"] if given else ids_of(LIB.llama_vocab_n_tokens(narrow.vocab))
        for suffix, model in ("", narrow), ("_f32", wide):
            found["top10_after" + suffix] = likeliest(model, found["ids"], POSITIONS)
        gap = gap_of_likeliest(found["top10_after"], found["top10_after_f32"])
    if "embeddings" not in found:
        asked = [case["text"] for case in given["tokenize"]] if given else texts
        found["tokenize"] = [{"text": text, "ids": narrow.tokens(text)} for text in asked]
    return found | {"largest_difference_to_f32": float(f"{gap:.6g}")}


def same_tokens(found, given):
    kinds = ["tokenize", "scores", "embeddings"]
    return all(
        case["ids"] == other["ids"] for kind in kinds for case, other in zip(found.get(kind, []), given.get(kind, []))
    )


def furthest(found, given, suffix):
    """How far two answers to one model are apart: in score, in 1 - cosine, or in log-probability."""
    pairs = zip(found.get("scores", []), given.get("scores", []))
    gaps = [abs(case["score" + suffix] - other["score" + suffix]) for case, other in pairs]
    pairs = zip(found.get("embeddings", []), given.get("embeddings", []))
    gaps += [abs(1 - float(np.dot(case["embedding" + suffix], other["embedding" + suffix]))) for case, other in pairs]
    if "ids" in found:
        gaps.append(gap_of_likeliest(found["top10_after" + suffix], given["top10_after" + suffix]))
    return max(gaps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="GGUF files")
    parser.add_argument("--out", type=Path, help="folder for NAME.json of each model")
    parser.add_argument("--check", action="store_true", help="compare with the NAME.json beside each model instead")
    args = parser.parse_args()
    log = ffi.callback("void(enum ggml_log_level, const char *, void *)", lambda level, text, user: None)
    LIB.llama_log_set(log, ffi.NULL)
    LIB.llama_backend_init()
    for path in args.models:
        given = json.loads(path.with_suffix(".json").read_text()) if args.check else None
        with tempfile.TemporaryDirectory() as folder:
            wide_path = Path(folder) / "wide.gguf"
            widened(path, wide_path)
            narrow, wide = Model(path), Model(wide_path)
        found = answers(path.stem, narrow, wide, given)
        narrow.close()
        wide.close()
        if args.check:
            tokens = "equal" if same_tokens(found, given) else "DIFFER"
            rounded, wide = furthest(found, given, ""), furthest(found, given, "_f32")
            print(f"{path.stem:<30} tokens {tokens}, furthest {rounded:.2g}, in F32 {wide:.2g}", flush=True)
        else:
            text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
            (args.out / f"{path.stem}.json").write_text(text + "\n")
            print(f"{path.stem}: {len(text)} bytes, {found['largest_difference_to_f32']:.2g} from F32", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
