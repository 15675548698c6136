"""What the build of the site does beside Markdown: the reference from the code, links out of `docs/` as words."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from reference import PAGES

__all__ = ["on_files", "on_page_markdown"]

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the reference."""
    for path, write in PAGES.items():
        files.append(File.generated(config, path, content=write()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """A link to a file of the repository that is not in the site becomes its text."""
    here, docs = Path(page.file.src_uri).parent, Path(config["docs_dir"])

    def kept(found: re.Match[str]) -> str:
        target = (docs / here / found[2].partition("#")[0]).resolve()
        inside = target.is_relative_to(docs.resolve()) or found[2].startswith("#")
        return found[0] if inside else found[1]

    return _LINK.sub(kept, markdown)
