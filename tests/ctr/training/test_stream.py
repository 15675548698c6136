from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.ctr import TrainConfig, train
from llactr.ctr.training.batches import HeldOut, MemoryRows
from llactr.ctr.training.prefetch import prefetched
from llactr.ctr.training.stream import StreamedRows, encode_rows, read_rows, write_rows
from llactr.errors import DataError
from llactr.transforms import OOV, Transform
from tests.ctr.training_fakes import clicks, model
from tests.specs import field, spec_of


def numbered(rows: int, *, start: int = 0) -> HeldOut:
    """Rows whose first id is their number."""
    ids = np.arange(start, start + rows, dtype=np.int32)[:, None].repeat(3, 1)
    return HeldOut(ids, (np.arange(rows) % 2).astype(np.float32), np.zeros(rows, np.int32))


def folder_of(path: Path, sizes: tuple[int, ...] = (400, 250, 377), row_group_rows: int = 100) -> Path:
    starts = np.cumsum((0, *sizes))
    write_rows(path, (numbered(n, start=s) for n, s in zip(sizes, starts, strict=False)), row_group_rows=row_group_rows)
    return path


def drawn(rows: StreamedRows, **which: int) -> list[list[int]]:
    batches = rows.batches(**{"seed": 0, "epoch": 1, "batch_size": 64, **which})
    return [batch.ids[:, 0].tolist() for batch in batches]


def test_each_row_comes_once_in_full_batches(tmp_path: Path) -> None:
    streamed = StreamedRows(folder_of(tmp_path), numbered(4), window_rows=200)
    batches = drawn(streamed)
    assert streamed.row_count == 1027
    assert [len(batch) for batch in batches] == [64] * 16 + [3]
    assert sorted(itertools.chain(*batches)) == list(range(1027))
    assert list(itertools.chain(*batches)) != list(range(1027))


def test_labels_stay_with_their_rows(tmp_path: Path) -> None:
    streamed = StreamedRows(folder_of(tmp_path, sizes=(400,)), numbered(4), window_rows=150)
    for batch in streamed.batches(seed=0, epoch=1, batch_size=64):
        assert (batch.label.numpy() == batch.ids[:, 0].numpy() % 2).all()


def test_order_follows_seed_and_epoch(tmp_path: Path) -> None:
    streamed = StreamedRows(folder_of(tmp_path), numbered(4), window_rows=200)
    assert drawn(streamed) == drawn(streamed)
    assert drawn(streamed) != drawn(streamed, epoch=2)
    assert drawn(streamed) != drawn(streamed, seed=1)


@pytest.mark.parametrize("batch_size", [64, 1000, 5000])
@pytest.mark.parametrize("start", [0, 1, 5, 16, 17])
def test_starting_later_gives_the_same_batches(tmp_path: Path, start: int, batch_size: int) -> None:
    streamed = StreamedRows(folder_of(tmp_path), numbered(4), window_rows=120)
    assert drawn(streamed, start=start, batch_size=batch_size) == drawn(streamed, batch_size=batch_size)[start:]


def test_memory_rows_start_later_and_go_back() -> None:
    rows = MemoryRows(clicks(500))
    whole = [batch.ids.tolist() for batch in rows.batches(seed=3, epoch=2, batch_size=64)]
    later = [batch.ids.tolist() for batch in rows.batches(seed=3, epoch=3, batch_size=64)]
    assert [batch.ids.tolist() for batch in rows.batches(seed=3, epoch=2, batch_size=64, start=2)] == whole[2:]
    assert [batch.ids.tolist() for batch in rows.batches(seed=3, epoch=3, batch_size=64)] == later
    assert later != whole


def test_a_window_is_all_that_is_in_memory(tmp_path: Path) -> None:
    # 400,000 rows of 20 ids are 35 MB; three windows of 20,000 are 5 MB.
    rows = np.zeros((100_000, 20), np.int32)
    part = HeldOut(rows, np.zeros(100_000, np.float32), np.zeros(100_000, np.int32))
    write_rows(tmp_path, (part for _ in range(4)), row_group_rows=10_000)
    streamed = StreamedRows(tmp_path, numbered(4), window_rows=20_000)
    gc.collect()
    pool = pa.default_memory_pool()
    before, count = pool.bytes_allocated(), 0
    for batch in streamed.batches(seed=0, epoch=1, batch_size=4096):
        count += len(batch.label)
        assert pool.bytes_allocated() - before < 12_000_000
    assert count == 400_000


def test_training_from_disk_learns(tmp_path: Path) -> None:
    data = clicks(4000)
    chosen = data.split.train
    write_rows(tmp_path, [HeldOut(data.ids[chosen], data.label[chosen], data.version[chosen])], row_group_rows=300)
    streamed = StreamedRows(tmp_path, MemoryRows(data).held_out, window_rows=1000)
    config = TrainConfig(embedding_optimizer="lazy", batch_size=128, max_epochs=8, learning_rate=0.01, device="cpu")
    result = train(model("fm"), streamed, config)
    assert result.validation.auc is not None
    assert result.validation.auc > 0.8


def test_rows_are_read_back_and_folders_grow(tmp_path: Path) -> None:
    folder_of(tmp_path, sizes=(5,))
    write_rows(tmp_path, [numbered(3, start=5)])
    assert read_rows(tmp_path).ids[:, 0].tolist() == list(range(8))


def test_rows_written_after_a_gap_overwrite_no_part(tmp_path: Path) -> None:
    for start in (0, 3):
        write_rows(tmp_path, [numbered(3, start=start)])
    (tmp_path / "part-00000.parquet").unlink()
    write_rows(tmp_path, [numbered(2, start=6)])
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["part-00001.parquet", "part-00002.parquet"]
    assert read_rows(tmp_path).ids[:, 0].tolist() == [3, 4, 5, 6, 7]


def test_raw_tables_are_encoded_one_at_a_time(tmp_path: Path) -> None:
    spec = spec_of(field("colour"), field("size"))
    tables = [
        pa.table({"colour": colours, "size": ["s", "m"], "label": [1.0, 0.0], "semantics_version": ["v2", "v1"]})
        for colours in (["red", "blue"], ["red", "green"])
    ]
    transform = Transform.fit(spec, tables[0])
    write_rows(tmp_path, encode_rows(tables, transform, ["v1", "v2"]))
    rows = read_rows(tmp_path)
    assert rows.version.tolist() == [1, 0, 1, 0]
    assert rows.ids.tolist() == [*transform.ids(tables[0]).tolist(), *transform.ids(tables[1]).tolist()]
    assert rows.ids[0, 0] == rows.ids[2, 0] != rows.ids[1, 0]
    assert rows.ids[3, 0] == OOV  # green was not in the table that the transform was fitted on
    with pytest.raises(DataError, match="has the semantics version 'v2', expected one of"):
        list(encode_rows(tables, transform, ["v1"]))


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no training rows"):
        StreamedRows(tmp_path, numbered(4))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path)
    file = sorted(tmp_path.glob("*.parquet"))[1]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        StreamedRows(tmp_path, numbered(4))


def test_other_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="lacks the column 'ids'"):
        StreamedRows(tmp_path, numbered(4))


def test_prefetching_keeps_order_and_passes_errors_on() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("broken file")

    made = prefetched(items(), depth=2)
    assert [next(made) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="broken file"):
        next(made)


def test_a_prefetching_thread_ends_with_its_iterator() -> None:
    iterator = prefetched(iter(range(1000)), depth=2)
    assert next(iterator) == 0
    iterator.close()  # type: ignore[attr-defined]
    assert "llactr-prefetch" not in [thread.name for thread in threading.enumerate()]


def test_a_part_after_a_gap_overwrites_nothing(tmp_path: Path) -> None:
    """Files were numbered by how many there are: with the first one gone, the last one was written over."""
    folder_of(tmp_path, sizes=(2, 3))
    (tmp_path / "part-00000.parquet").unlink()
    write_rows(tmp_path, [numbered(2, start=5)])
    assert read_rows(tmp_path).ids[:, 0].tolist() == [2, 3, 4, 5, 6]


def test_the_fingerprint_of_rows_on_disk_is_their_content(tmp_path: Path) -> None:
    held = numbered(3, start=0)
    write_rows(tmp_path, [numbered(4, start=0)])
    fingerprint = StreamedRows(tmp_path, held).fingerprint
    assert StreamedRows(tmp_path, held).fingerprint == fingerprint
    assert StreamedRows(tmp_path, numbered(3, start=1)).fingerprint != fingerprint
    (tmp_path / "part-00000.parquet").unlink()
    write_rows(tmp_path, [numbered(4, start=1)])
    assert StreamedRows(tmp_path, held).fingerprint != fingerprint
