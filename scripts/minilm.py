#!/usr/bin/env python3
"""Converts all-MiniLM-L6-v2 from its safetensors to a GGUF file in F32, for the tests.

    scripts/minilm.py FOLDER OUT.gguf

FOLDER holds what sentence-transformers publishes: model.safetensors, config.json and tokenizer.json. Needs the package gguf.
"""

import json
import pathlib
import sys

import gguf
import numpy as np

NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
# What no embedding depends on.
UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


def tensors(path):
    """The tensors of a safetensors file: a header in JSON that names types, shapes and places, then the data."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    for name, place in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__" or name in UNUSED:
            continue
        begin, end = (8 + length + offset for offset in place["data_offsets"])
        kind = {"F32": np.float32, "F16": np.float16}[place["dtype"]]
        yield name, np.frombuffer(data[begin:end], kind).reshape(place["shape"]).astype(np.float32)


def renamed(name):
    if name in NAMES:
        return NAMES[name]
    stem, _, kind = name.rpartition(".")
    if stem.startswith("encoder.layer."):
        _, _, layer, inner = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[inner]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def vocabulary(path):
    """Tokens in the form of GGUF: words begin with a mark, what goes on with a word has none."""
    ids = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    for token in sorted(ids, key=ids.get):
        if token.startswith("[") and token.endswith("]") and len(token) > 2:
            kind = gguf.TokenType.UNKNOWN if token == "[UNK]" else gguf.TokenType.CONTROL
            yield token, kind
        elif token.startswith("##"):
            yield token[2:], gguf.TokenType.NORMAL
        else:
            yield "\u2581" + token, gguf.TokenType.NORMAL


def main(folder, out):
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(out, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    tokens, kinds = zip(*vocabulary(folder / "tokenizer.json"))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(config["type_vocab_size"])
    for name, add in [
        ("[PAD]", writer.add_pad_token_id),
        ("[UNK]", writer.add_unk_token_id),
        ("[CLS]", writer.add_bos_token_id),
        ("[SEP]", writer.add_eos_token_id),
        ("[MASK]", writer.add_mask_token_id),
    ]:
        add(tokens.index(name))
    for name, values in tensors(folder / "model.safetensors"):
        writer.add_tensor(renamed(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
