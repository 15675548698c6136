"""`hf`: the adapter that made the vectors, as a folder of Hugging Face's that peft and sentence-transformers load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.errors import InputError, ModelError
from llactr.manifest import read_manifest
from llactr.steps import Step, outcome_of
from llactr.store.vectors.summaries import EncodeSummary, EncodeValuesSummary

__all__ = ["to_hf"]

_ENCODER = "encoder.json"


@EXPORTS.register("hf")
def to_hf(source: ExportSource, folder: Path) -> dict[str, Any]:
    """`adapter_config.json`, `adapter_model.safetensors` and a card, `README.md`, of the adapter of the field vectors.

    `values/` has the same of the values' adapter, where the bundle has value vectors and they were made by another.
    Nothing of the base model is in it: the card and `adapter_config.json` name it.

    Raises:
        InputError: no vectors of the bundle were made by an adapter, or it is gone.
        ModelError: an adapter's folder is damaged.
    """
    bundle = source.bundle
    fields = _adapter_of_fields(source)
    values = _adapter_of_values(source)
    if fields is None and values is None:
        raise InputError(
            f"the vectors of {source.folder.name!r} were made by {bundle.vectors.encoder!r} as published, there is no "
            "adapter: run 'llactr finetune', 'llactr encode' and 'llactr train' first"
        )
    facts: dict[str, Any] = {"adapters": {}}
    for what, adapter, version, at in (
        ("fields", fields, bundle.version, folder if fields else None),
        ("values", values, bundle.values.version if bundle.values else "", folder / "values" if fields else folder),
    ):
        if adapter is not None and at is not None:
            facts["adapters"][what] = _written(source, adapter, at, what=what, version=version)
    return facts


def _adapter_of_fields(source: ExportSource) -> Path | None:
    """The adapter by which the bundle's semantics version was encoded; None for the encoder as published."""
    for folder in sorted((source.workspace.root / "semantics").glob("[!.]*")):
        made = outcome_of(folder, EncodeSummary)
        if made is None or made.result.version != source.bundle.version:
            continue
        manifest = read_manifest(folder) or {}
        wanted = manifest.get("inputs", {}).get("adapter")
        named = manifest.get("config", {}).get("encoder", {}).get("adapter")
        if not wanted:
            return None
        if named:
            return _there(Path(named))
        for adapter in sorted((source.workspace.root / "adapters").glob("[!.]*")):
            if (read_manifest(adapter) or {}).get("key") == wanted:
                return _there(adapter / "adapter")
        raise InputError(
            f"the adapter of semantics version {source.bundle.version} is gone: run 'llactr finetune', "
            "'llactr encode' and 'llactr train'"
        )
    return None


def _adapter_of_values(source: ExportSource) -> Path | None:
    values = source.bundle.values
    if values is None:
        return None
    folder = source.workspace.current(source.bundle.spec.name).get(Step.ENCODE_VALUES)
    made = outcome_of(folder, EncodeValuesSummary) if folder else None
    if made is None or made.result.version != values.version or made.result.adapter is None:
        return None
    return _there(Path(made.result.adapter) / "adapter")


def _there(adapter: Path) -> Path:
    if not (adapter / _ENCODER).is_file():
        raise InputError(f"the adapter {adapter} is gone: restore it, or run 'llactr finetune' and what follows again")
    return adapter


def _written(source: ExportSource, adapter: Path, folder: Path, *, what: str, version: str) -> dict[str, Any]:
    """Copies an adapter, and says on its card what it is and how it is loaded."""
    try:
        facts: dict[str, Any] = json.loads((adapter / _ENCODER).read_text(encoding="utf-8"))
        card = _card(source, facts, what=what, version=version)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the adapter in {adapter} is damaged ({_ENCODER}: {error}): restore it from a copy") from None
    folder.mkdir(exist_ok=True)
    for path in sorted(adapter.iterdir()):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return {"base_model": facts["model"], "version": version, "fingerprint": facts["fingerprint"]}


def _card(source: ExportSource, facts: dict[str, Any], *, what: str, version: str) -> str:
    base, prompts = facts["model"], facts["prompts"]
    sentences = "\n".join(f"- {name}: `{text}`" for name, text in prompts.items())
    fields = "\n".join(f"- `{field.name}`: {field.description}" for field in source.bundle.spec.fields)
    return f"""---
base_model: {base}
library_name: peft
tags: [llactr, lora]
---

# An adapter for the {what} of {source.bundle.spec.name}

LoRA weights on `{base}`, tuned by llactr. Semantics version `{version}`, used by the bundle `{source.folder.name}`.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{base}")
model.load_adapter("FOLDER")
```

or, with any transformers model, `peft.PeftModel.from_pretrained(model, "FOLDER")`. Pooling: {facts["pooling"]};
vectors are normalised. A text is put into a sentence first:

{sentences}

Fields:

{fields}
"""
