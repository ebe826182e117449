"""Tiny encoders (a few thousand weights) and documents that they learn in a second."""

import gc
import json
import os
import random
import signal
import tempfile
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, DRIVER
from tests.forked import SERVER, started_server, use_server_of_parent

# Set before the imports that read it: tests neither read nor write the caches of the user. The processes of
# pytest-xdist share one, so that each network is exported once.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="tagsmith-tests-")
    os.environ["XDG_CACHE_HOME"] = CACHE.name
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{CACHE.name}/hypothesis"

# Set before torch is imported: pytest-xdist already uses all cores, and more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Take what the tests import out of garbage collection, which would go through it again and again."""
    gc.disable()
    found = yield
    gc.freeze()
    gc.enable()
    return found


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """Restore what a command changes before it exits: a process that ignores SIGTERM starts others that do."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Start the server that forks scripts once for all processes of pytest-xdist; fast tests need none."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        use_server_of_parent()
    elif config.getoption("numprocesses", None) and not config.getoption("markexpr"):
        os.environ[SERVER] = started_server()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `browser` or `gpu` on machines without one, with the reason."""
    lacking: dict[str, str] = {}
    if not (CHROMIUM and DRIVER and find_spec("selenium")):
        lacking["browser"] = "needs chromium, chromedriver and selenium"
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            lacking["gpu"] = "needs a CUDA device"
    for item in items:
        for name, reason in lacking.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


TOPICS = {
    "animals": ["cat", "dog", "horse", "cow", "sheep", "goat", "hen", "duck", "pig", "mouse"],
    "food": ["bread", "cheese", "soup", "apple", "pear", "rice", "bean", "cake", "milk", "egg"],
    "tools": ["hammer", "saw", "drill", "nail", "screw", "plane", "file", "clamp", "axe", "vise"],
}
FILLERS = ["the", "a", "and", "with", "of", "on", "under", "near", "some", "many"]


def make_tokenizer(folder: Path, max_tokens: int = 64) -> int:
    """Write a word-level tokenizer that transformers loads; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLERS, *(word for words in TOPICS.values() for word in words)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # Like real files, it sets a truncation and a padding, which Tagsmith must ignore.
    tokenizer.enable_truncation(12)
    tokenizer.enable_padding(length=12)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return len(words)


def make_encoder(folder: Path, kind: str = "bert", max_tokens: int = 64, layers: int = 2) -> Path:
    """Write a tiny random encoder of an architecture that transformers knows, with its tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = make_tokenizer(folder, max_tokens)
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": max_tokens + 2 if kind in ("xlm-roberta", "mpnet") else max_tokens,
        "pad_token_id": 0,
    }
    if kind == "deberta-v2":
        # As in DeBERTa-v3-base: bucketed relative positions, no absolute ones.
        sizes |= {
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "type_vocab_size": 0,
            "position_biased_input": False,
        }
    if kind == "modernbert":
        sizes |= {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 16}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def make_documents(count: int, multi_label: bool, seed: int = 0, longest: int = 12) -> list[dict[str, object]]:
    """Records whose texts contain words of the topics that they are tagged with, and filler words."""
    draw = random.Random(seed)
    records: list[dict[str, object]] = []
    for i in range(count):
        names = sorted(TOPICS)
        chosen = draw.sample(names, draw.randint(0, 2)) if multi_label else [names[i % len(names)]]
        words = [draw.choice(FILLERS) for _ in range(draw.randint(2, longest))]
        for name in chosen:
            words += draw.sample(TOPICS[name], 3)
        draw.shuffle(words)
        tags = {"labels": chosen} if multi_label else {"label": chosen[0]}
        records.append({"id": f"{seed}-{i}", "text": " ".join(words), **tags})
    return records


def write_jsonl(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def single_label_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "single.jsonl", make_documents(150, multi_label=False))


@pytest.fixture(scope="session")
def multi_label_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "multi.jsonl", make_documents(150, multi_label=True))
