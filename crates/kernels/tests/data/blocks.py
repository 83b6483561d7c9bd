"""Makes the blocks that `formats.rs` reads, with the dequantisers of the package `gguf` (0.19, on PyPI) and numpy.

For each weight type TYPE.bin: three blocks of random bytes (with a scale of moderate size), then their floats (f32).
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Where the f16 numbers of a block are.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "IQ1_S": [0], "IQ1_M": [],
    "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "TQ1_0": [52], "TQ2_0": [64],
    "Q1_0": [0], "MXFP4": [], "NVFP4": [], "BF16": [], "F16": [],
}  # fmt: skip
BLOCKS = 3
random = np.random.default_rng(1)
for name, scales in SCALES.items():
    ty = GGMLQuantizationType[name]
    values, size = GGML_QUANT_SIZES[ty]
    blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in scales:
        moderate = random.uniform(-0.02, 0.02, (BLOCKS, 1)).astype("<f2")
        blocks[:, at : at + 2] = moderate.view(np.uint8)
    if name == "IQ1_M":  # its f16 is in the high nibbles of four words
        scale = random.uniform(0.001, 0.02, BLOCKS).astype("<f2").view("<u2")
        for n in range(4):
            blocks[:, 49 + 2 * n] = blocks[:, 49 + 2 * n] & 15 | ((scale >> (4 * n)) & 15).astype(np.uint8) << 4
    if name == "Q1_0":  # the package does not read it yet: a bit a weight, the lowest first, 1 is plus
        signs = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").astype("<f4") * 2 - 1
        floats = blocks[:, :2].copy().view("<f2").astype("<f4") * signs
    else:
        floats = dequantize(blocks, ty).astype("<f4")
    assert floats.size == BLOCKS * values
    (Path(__file__).parent / f"{name}.bin").write_bytes(blocks.tobytes() + floats.tobytes())
