import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import Tokenizer

from tagsmith.config.settings import CacheSettings
from tagsmith.tokens import cache as token_cache
from tagsmith.tokens import windows
from tagsmith.tokens.cache import encode_cached, key_of
from tagsmith.tokens.windows import EncodedDocuments, WindowRule, encode, without_limits
from tests.conftest import make_documents, make_tokenizer

TEXTS = [str(record["text"]) for record in make_documents(2500, multi_label=False, longest=20)]
RULE = WindowRule(12, "windows", overlap=2)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    make_tokenizer(tmp_path)
    return Tokenizer.from_file(str(tmp_path / "tokenizer.json"))


@pytest.fixture
def cache(tmp_path: Path) -> CacheSettings:
    return CacheSettings(str(tmp_path / "cache"))


def cached(cache: CacheSettings, tokenizer: Tokenizer, texts: list[str] = TEXTS) -> EncodedDocuments:
    return encode_cached(cache, "train", texts, tokenizer, RULE, 0)


def entries(cache: CacheSettings) -> list[Path]:
    return sorted(Path(str(cache.folder)).iterdir())


def same(a: EncodedDocuments, b: EncodedDocuments) -> bool:
    names = vars(a).keys() - {"pad_id"}
    return names == vars(b).keys() - {"pad_id"} and all(
        getattr(a, name).dtype == getattr(b, name).dtype and np.array_equal(getattr(a, name), getattr(b, name))
        for name in names
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever texts are tokenised."""
    made: list[int] = []
    whole = token_cache.encode_chunks

    def encode_chunks(*args: object) -> object:
        made.append(1)
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(token_cache, "encode_chunks", encode_chunks)
    return made


def test_warm_equals_cold_equals_no_cache(cache: CacheSettings, tokenizer: Tokenizer, counted: list[int]) -> None:
    plain = encode(tokenizer, TEXTS, RULE, 0)
    assert (plain.windows > 1).any()
    cold, warm = cached(cache, tokenizer), cached(cache, tokenizer)
    assert len(counted) == 1
    assert same(plain, cold)
    assert same(plain, warm)
    assert same(plain, cached(CacheSettings(None), tokenizer))
    assert len(entries(cache)) == 1


def test_a_batch_of_mapped_ids_equals_one_in_memory(cache: CacheSettings, tokenizer: Tokenizer) -> None:
    cached(cache, tokenizer)
    mapped, plain = cached(cache, tokenizer), encode(tokenizer, TEXTS, RULE, 0)
    assert not mapped.ids.flags.owndata
    documents = np.random.default_rng(0).permutation(len(TEXTS))[:50]
    a, b = mapped.batch(documents), plain.batch(documents)
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in vars(a))


def test_the_key_follows_from_all_that_tokens_depend_on(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Tokenizer.from_str(without_limits(tokenizer).to_str())
    other.add_tokens(["zebra"])
    texts = ["ab", "c"]
    keys = [
        key_of(texts, tokenizer, RULE, 0),
        key_of(["a", "bc"], tokenizer, RULE, 0),
        key_of(["c", "ab"], tokenizer, RULE, 0),
        key_of(["ab", "c", ""], tokenizer, RULE, 0),
        key_of(texts, other, RULE, 0),
        key_of(texts, tokenizer, WindowRule(13, "windows", overlap=2), 0),
        key_of(texts, tokenizer, WindowRule(12, "head", overlap=2), 0),
        key_of(texts, tokenizer, WindowRule(12, "windows", overlap=1), 0),
        key_of(texts, tokenizer, WindowRule(12, "windows", overlap=2, max_windows=3), 0),
        key_of(texts, tokenizer, RULE, 1),
    ]
    assert key_of(texts, tokenizer, RULE, 0) == keys[0]
    assert key_of(texts, Tokenizer.from_str(tokenizer.to_str()), RULE, 0) == keys[0]
    monkeypatch.setattr(tokenizers, "__version__", "0.0")
    keys.append(key_of(texts, tokenizer, RULE, 0))
    monkeypatch.setattr(token_cache, "CODE", "changed")
    keys.append(key_of(texts, tokenizer, RULE, 0))
    assert len(set(keys)) == len(keys)


@pytest.mark.slow
def test_the_code_is_that_of_the_files(tmp_path: Path) -> None:
    package = tmp_path / "tagsmith"
    package.mkdir()
    source = Path(windows.__file__).parents[1]
    for path in [*source.glob("*.py"), *source.glob("tokens/*.py")]:
        copy = package / path.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    for room in ("core", "config"):
        (package / room).symlink_to(source / room)

    def code() -> str:
        command = [sys.executable, "-c", "from tagsmith.tokens.cache import CODE; print(CODE)"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert code() == token_cache.CODE
    (package / "tokens" / "windows.py").write_text((package / "tokens" / "windows.py").read_text() + "\n# A change.\n")
    assert code() != token_cache.CODE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ids", "window_lengths", "windows", "tokens", "unread", "entry.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_entry_is_made_again(
    cache: CacheSettings, tokenizer: Tokenizer, counted: list[int], name: str, damage: str
) -> None:
    plain = cached(cache, tokenizer)
    (entry,) = entries(cache)
    content = bytearray((entry / name).read_bytes())
    (entry / name).unlink()
    content[len(content) // 2] ^= 1
    if damage != "gone":
        (entry / name).write_bytes(content if damage == "changed" else content[: len(content) // 2])
    assert same(plain, cached(cache, tokenizer))
    assert len(counted) == 2
    assert same(plain, cached(cache, tokenizer))
    assert len(counted) == 2
    assert len(entries(cache)) == 1


@pytest.mark.slow
def test_killed_half_way_leaves_no_entry(
    cache: CacheSettings, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = token_cache.encode_chunks

    def interrupted(*args: object) -> object:
        yield next(iter(whole(*args)))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(token_cache, "encode_chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached(cache, tokenizer)
    assert entries(cache) == []
    monkeypatch.undo()
    assert same(cached(cache, tokenizer), encode(tokenizer, TEXTS, RULE, 0))


@pytest.mark.slow
def test_two_processes_that_make_one_entry(tmp_path: Path, cache: CacheSettings, tokenizer: Tokenizer) -> None:
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(TEXTS))
    code = """
import json, sys
from pathlib import Path
from tokenizers import Tokenizer
from tagsmith.config.settings import CacheSettings
from tagsmith.tokens.cache import encode_cached
from tagsmith.tokens.windows import WindowRule
tokenizer = Tokenizer.from_file(sys.argv[1])
rule = WindowRule(12, "windows", overlap=2)
texts = json.loads(Path(sys.argv[3]).read_text())
encoded = encode_cached(CacheSettings(sys.argv[2]), "train", texts, tokenizer, rule, 0)
print(int(encoded.ids.sum()), len(encoded))
"""
    words = [str(tmp_path / "tokenizer.json"), str(cache.folder), str(texts)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=120) for process in started]
    plain = encode(tokenizer, TEXTS, RULE, 0)
    assert [out.split() for out, _ in results] == [[str(int(plain.ids.sum())), str(len(TEXTS))]] * 2, results
    assert len(entries(cache)) == 1


def test_the_second_writer_uses_the_entry_of_the_first(
    cache: CacheSettings, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = token_cache.encode_chunks
    fresh = Tokenizer.from_str(tokenizer.to_str())

    def overtaken(*args: object) -> object:
        monkeypatch.setattr(token_cache, "encode_chunks", whole)
        cached(cache, fresh)
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(token_cache, "encode_chunks", overtaken)
    assert same(cached(cache, tokenizer), encode(tokenizer, TEXTS, RULE, 0))
    assert len(entries(cache)) == 1
    assert not caplog.records


def test_the_least_recently_used_entries_are_removed(
    cache: CacheSettings, tokenizer: Tokenizer, counted: list[int]
) -> None:
    parts = [TEXTS[:1000], TEXTS[1000:2000], TEXTS[500:1500]]
    cached(cache, tokenizer, parts[0])
    (first,) = entries(cache)
    size = sum(file.stat().st_size for file in first.iterdir())
    cached(cache, tokenizer, parts[1])
    (second,) = set(entries(cache)) - {first}
    os.utime(first / "entry.json", (1, 1))
    os.utime(second / "entry.json", (2, 2))
    cached(cache, tokenizer, parts[0])  # Used again: the second one is now the oldest.
    small = CacheSettings(cache.folder, max_gib=2.5 * size / 2**30)
    strange = [Path(str(cache.folder)) / name for name in (".ssh", "notes")]
    for folder in strange:
        folder.mkdir()
        os.utime(folder, (1, 1))
    unfinished = Path(str(cache.folder)) / f".{first.name}.abc"
    unfinished.mkdir()
    os.utime(unfinished, (1, 1))
    cached(small, tokenizer, parts[2])
    assert first.is_dir()
    assert not second.exists()
    assert not unfinished.exists()
    assert all(folder.is_dir() for folder in strange)
    assert len(entries(cache)) == 4
    cached(CacheSettings(cache.folder, max_gib=0), tokenizer, parts[0][:10])
    assert len(entries(cache)) == 3
    assert len(counted) == 4


def test_a_folder_that_cannot_be_written_is_reported_and_not_needed(
    tmp_path: Path, tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    logging.getLogger("tagsmith").propagate = True
    (tmp_path / "file").write_text("no folder")
    found = cached(CacheSettings(str(tmp_path / "file")), tokenizer)
    assert same(found, encode(tokenizer, TEXTS, RULE, 0))
    assert "its content is kept in memory" in caplog.text


def test_no_documents(cache: CacheSettings, tokenizer: Tokenizer) -> None:
    assert len(cached(cache, tokenizer, [])) == 0
    assert len(cached(cache, tokenizer, [])) == 0
