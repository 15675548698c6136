"""The Open Inference Protocol gives what /v1/predict gives, to clients that know nothing of this service."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_process import Answer, Served

MOMENT = "2024-02-20T10:00:00Z"
ROWS = [
    {"user": "u1", "item": "3", "timestamp": MOMENT, "context": {"Device (type)": "tv", "seconds": 7.0}},
    {"user": "u2", "item": "40", "timestamp": MOMENT, "context": {"Device (type)": "phone", "seconds": None}},
    {"user": "nobody", "item": "3", "timestamp": MOMENT, "context": {"Device (type)": "tv", "seconds": 0.0}},
]
INFER = "/v2/models/shop/infer"


def column(name: str, datatype: str, data: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data} | more


COLUMNS = [
    column("user", "BYTES", ["u1", "u2", "nobody"]),
    column("item", "INT64", [3, 40, 3]),
    column("timestamp", "BYTES", [MOMENT] * 3),
    column("Device (type)", "BYTES", ["tv", "phone", "tv"]),
    column("context.seconds", "FP64", [7, None, 0]),
]


@pytest.fixture(scope="module")
def asgi(built: Workspace) -> Iterator[Asgi]:
    with started(built, max_body_bytes=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def expected(asgi: Asgi) -> Answer:
    return asgi.ask("POST", "/v1/predict", {"rows": ROWS, "return_ids": True})


def outputs_of(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return {output["name"]: output for output in answer.json["outputs"]}


def test_columns_score_as_rows_do(asgi: Asgi, expected: Answer) -> None:
    asked = {"id": "r-1", "inputs": COLUMNS, "outputs": [{"name": "ids"}, {"name": "score"}]}
    answer = asgi.ask("POST", INFER, asked)
    found = outputs_of(answer)
    assert (answer.json["model_name"], answer.json["id"]) == ("shop", "r-1")
    assert answer.json["model_version"] == expected.json["bundle"]
    assert list(found) == ["ids", "score"], "as they were asked for"
    assert np.float32(found["score"]["data"]).tolist() == np.float32(expected.json["scores"]).tolist()
    assert (found["score"]["datatype"], found["score"]["shape"]) == ("FP32", [3])
    slots = len(expected.json["ids"][0])
    assert (found["ids"]["datatype"], found["ids"]["shape"]) == ("INT32", [3, slots])
    assert found["ids"]["data"] == [one for row in expected.json["ids"] for one in row]


def test_bytes_behind_the_json_are_the_same_columns(asgi: Asgi, expected: Answer) -> None:
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"u1", b"u2", b"nobody"))
    seconds = struct.pack("<3d", 7.0, float("nan"), 0.0)
    head = {
        "inputs": [
            {"name": "user", "datatype": "BYTES", "shape": [3, 1], "parameters": {"binary_data_size": len(texts)}},
            *COLUMNS[1:4],
            {"name": "seconds", "datatype": "FP64", "shape": [3], "parameters": {"binary_data_size": 24}},
        ],
        "outputs": [{"name": "score", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    length = {"inference_header_content_length": str(len(text)), "content-type": "application/octet-stream"}
    answer = asgi.ask("POST", INFER, text + texts + seconds, **length)
    assert answer.status == 200, answer.body
    at = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.body[:at])["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": 12}}
    ]
    assert np.frombuffer(answer.body[at:], "<f4").tolist() == np.float32(expected.json["scores"]).tolist()


def test_the_model_says_what_it_takes(asgi: Asgi, expected: Answer) -> None:
    bundle, slots = expected.json["bundle"], len(expected.json["ids"][0])
    found = asgi.ask("GET", "/v2/models/shop").json
    assert found == asgi.ask("GET", f"/v2/models/shop/versions/{bundle}").json
    assert {one["name"]: one["datatype"] for one in found["inputs"]} == {
        "user": "BYTES", "item": "BYTES", "timestamp": "BYTES", "Device (type)": "BYTES", "seconds": "FP64"
    }  # fmt: skip
    assert found["outputs"][1] == {"name": "ids", "datatype": "INT32", "shape": [-1, slots]}
    assert (found["name"], found["versions"]) == ("shop", [bundle])
    assert asgi.ask("GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    assert asgi.ask("GET", "/v2/health/live").json == {"live": True}
    assert asgi.ask("GET", "/v2/health/ready").json == {"ready": True}
    assert asgi.ask("GET", "/v2/models/shop/ready").json == {"name": "shop", "ready": True}


def asked(**change: Any) -> dict[str, Any]:
    """A good request whose user column is another one."""
    return {"inputs": [COLUMNS[0] | change, *COLUMNS[1:]]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (asked(name="usr"), "/inputs/0/name: no input 'usr': there are"),
        (asked(name="item"), "/inputs/1/name: 'item' is there twice"),
        (asked(data=["u1", "u2"]), "/inputs/0: 2 values, but the shape says 3"),
        (asked(shape=[2]), "/inputs/0: 3 values, but the shape says 2"),
        (asked(shape=[3, 2]), "/inputs/0: the shape is [3, 2], expected [3] or [3, 1]"),
        (asked(shape=[0]), "/inputs/0/shape: 0 rows, expected 1 to 1000"),
        (asked(datatype="INT64"), "/inputs/0/data/0: expected a value of INT64, or null"),
        (asked(data=["u1", None, "u2"]), "/rows/1/user"),
        (asked(data=None), "/inputs/0: no data"),
        (asked(parameters={"binary_data_size": 9}), "/inputs/0/parameters/binary_data_size: more than came"),
        ({"inputs": COLUMNS[1:]}, "/rows/0/user: Field required"),
        ({"inputs": COLUMNS, "outputs": [{"name": "scores"}]}, "no output 'scores': there are score and ids"),
        ({"inputs": []}, "/inputs: "),
    ],
)
def test_what_is_wrong_is_said_where_clients_look(asgi: Asgi, body: Any, said: str) -> None:
    answer = asgi.ask("POST", INFER, body)
    assert answer.status == 422, answer.body
    assert said in answer.json["error"]
    assert answer.json["error"] == answer.json["detail"]


def test_bytes_that_do_not_fit_are_refused(asgi: Asgi) -> None:
    def with_bytes(datatype: str, raw: bytes, more: bytes = b"") -> Answer:
        parameters = {"binary_data_size": len(raw)}
        first = {"name": "user", "datatype": datatype, "shape": [3], "parameters": parameters}
        text = json.dumps({"inputs": [first, *COLUMNS[1:]]}).encode()
        return asgi.ask("POST", INFER, text + raw + more, inference_header_content_length=str(len(text)))

    assert "8 bytes, expected 24 for 3 values of INT64" in with_bytes("INT64", bytes(8)).json["error"]
    assert "longer than the bytes that came" in with_bytes("BYTES", struct.pack("<I", 9) + b"u1").json["error"]
    assert "texts in UTF-8" in with_bytes("BYTES", struct.pack("<I", 1) + b"\xff").json["error"]
    assert "2 bytes behind the JSON belong to no input" in with_bytes("INT64", bytes(24), b"xx").json["error"]
    assert asgi.ask("POST", INFER, b"{}", inference_header_content_length="3").status == 400
    assert asgi.ask("POST", INFER, b"{").status == 400
    assert asgi.ask("POST", INFER, b"{}", content_type="text/plain").status == 415


def test_another_model_and_another_version_are_not_found(asgi: Asgi) -> None:
    for path in ("/v2/models/other", "/v2/models/shop/versions/1", "/v2/models/other/ready"):
        answer = asgi.ask("GET", path)
        assert answer.status == 404
        assert answer.json["error"].startswith("no model" if "other" in path else "no version")
    assert asgi.ask("POST", "/v2/models/shop/versions/1/infer", {"inputs": COLUMNS}).status == 404


def test_the_protocol_asks_for_keys_where_there_are_any(built: Workspace) -> None:
    key = "k" * 24
    with started(built, environment={"LLACTR_API_KEYS": key}) as asgi:
        assert asgi.ask("POST", INFER, {"inputs": COLUMNS}).status == 401
        assert asgi.ask("GET", "/v2/models/shop").status == 401
        assert asgi.ask("GET", "/v2/health/ready").status == 200
        assert asgi.ask("POST", INFER, {"inputs": COLUMNS}, x_api_key=key).status == 200
        assert asgi.metric('llactr_requests_total{path="/v2/models/{model}/infer",status="200"}') == 1


def test_tritons_client_scores(workspace: Workspace, serve: Callable[..., Served]) -> None:
    served = serve(workspace)
    expected = served.ask("POST", "/v1/predict", {"rows": ROWS}).json
    client = triton.InferenceServerClient(f"127.0.0.1:{served.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("shop", expected["bundle"])
    assert client.get_model_metadata("shop")["versions"] == [expected["bundle"]]
    columns = {
        "user": np.array(["u1", "u2", "nobody"], np.object_),
        "item": np.array(["3", "40", "3"], np.object_),
        "timestamp": np.array([MOMENT] * 3, np.object_),
        "Device (type)": np.array(["tv", "phone", "tv"], np.object_),
        "seconds": np.array([7, np.nan, 0], np.float64),
    }
    for binary in (True, False):
        asked = []
        for name, values in columns.items():
            if not binary and name == "seconds":
                continue  # its JSON has no NaN
            asked.append(triton.InferInput(name, [3], "FP64" if name == "seconds" else "BYTES"))
            asked[-1].set_data_from_numpy(values, binary_data=binary)
        wanted = triton.InferRequestedOutput("score", binary_data=binary)
        found = client.infer("shop", asked, outputs=[wanted]).as_numpy("score")
        if binary:
            assert found.tolist() == np.float32(expected["scores"]).tolist()
        else:
            assert found.shape == (3,)
    with pytest.raises(InferenceServerException, match="no model 'other': this service has 'shop'"):
        client.infer("other", asked)
    client.close()
