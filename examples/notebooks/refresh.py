"""Runs the notebooks and keeps what they say, without paths and times of the machine: a diff shows what changed.

.venv/bin/python examples/notebooks/refresh.py [NAME.ipynb ...]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

__all__ = ["HERE", "cleaned", "run"]

HERE = Path(__file__).resolve().parent
_TIMEOUT_S = 300
_TIMES = re.compile(r"[ \t]+\d+(?:\.\d+)? (?:s|ms)\b")
_FOLDERS = re.compile(r"(?:/[\w.+-]+)+/llactr-[\w]+(?=/|\b)")


def run(notebook: Path) -> nbformat.NotebookNode:
    """A notebook after all its cells ran, in its folder; a cell that fails raises what it raised."""
    bin_folder = str(Path(sys.executable).parent)  # what `llactr` is in a shell cell
    os.environ["PATH"] = os.pathsep.join([bin_folder, os.environ["PATH"]])
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    content = nbformat.read(notebook, as_version=4)
    place: dict[str, Any] = {"metadata": {"path": str(notebook.parent)}}
    NotebookClient(content, timeout=_TIMEOUT_S, kernel_name="python3", resources=place).execute()
    return content


def cleaned(content: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same without times, folders, progress (on stderr), and what the kernel says of itself."""
    content.metadata = nbformat.NotebookNode(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"}
    )
    for cell in content.cells:
        cell.metadata = nbformat.NotebookNode()
        if "outputs" in cell:
            cell.outputs = _whole(cell.outputs)
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = _said(output.text)
            for kind, text in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = _said(text)
    return content


def _whole(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What was printed in pieces, in one; without stderr."""
    found: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if output.get("name") == "stdout" and found and found[-1].get("name") == "stdout":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def _said(text: str) -> str:
    return _TIMES.sub("", _FOLDERS.sub(".", text.replace(str(HERE.parents[1]), ".")))


def main() -> None:
    """Reads the command line, writes each notebook in its place."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME.ipynb")
    for name in parser.parse_args().names or sorted(path.name for path in HERE.glob("*.ipynb")):
        nbformat.write(cleaned(run(HERE / name)), HERE / name)
        print(name)


if __name__ == "__main__":
    main()
