from __future__ import annotations

import subprocess
import sys

import llactr.semantics


def test_the_package_alone_imports_nothing_heavy():
    heavy = ("torch", "transformers", "peft", "numpy")
    code = f"import sys, llactr.semantics; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_is_no_module():
    kinds = {name: type(getattr(llactr.semantics, name)).__name__ for name in llactr.semantics.__all__}
    assert "module" not in kinds.values()
    assert kinds["finetune"] == "function"
