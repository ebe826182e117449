"""A stock classifier of transformers returns the scores of the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from tagsmith.config.settings import Pooling
from tagsmith.core.errors import SettingsError
from tagsmith.core.schema import Schema, Task
from tagsmith.decision.rule import sigmoid, softmax
from tagsmith.export.stock import pipeline_scores, refusal, stock_classifier, write_stock
from tagsmith.model.loaded_model import LoadedModel
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.tokens.encoding_spec import EncodingSpec
from tagsmith.tokens.windows import WindowRule
from tests.conftest import make_documents, make_encoder

pytestmark = pytest.mark.slow

TEXTS = [str(record["text"]) for record in make_documents(30, multi_label=True, longest=80)]
CLASSES = ("tools", "food", "animals", "none of them")


def made(
    folder: Path, kind: str, pooling: Pooling, task: Task = Task.single_label, long_documents: str = "head"
) -> LoadedModel:
    """A model with random weights, including layer norms."""
    encoder = AutoModel.from_pretrained(make_encoder(folder, kind))
    torch.manual_seed(1)
    model = TextClassifier(encoder, len(CLASSES), pooling).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.nn.init.normal_(model.head.weight, std=0.3)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = EncodingSpec(WindowRule(48, long_documents), 0, pooling, 0.5)
    return LoadedModel(model, tokenizer, encoding, Schema(CLASSES, task))


EXPRESSED = [
    ("bert", Pooling.mean, Task.single_label),
    ("bert", Pooling.cls, Task.single_label),
    ("roberta", Pooling.mean, Task.single_label),
    ("xlm-roberta", Pooling.mean, Task.multi_label),
    ("electra", Pooling.mean, Task.single_label),
    ("distilbert", Pooling.mean, Task.multi_label),
    ("distilbert", Pooling.cls, Task.single_label),
    ("mpnet", Pooling.cls, Task.single_label),
    ("deberta-v2", Pooling.cls, Task.multi_label),
    ("modernbert", Pooling.mean, Task.single_label),
    ("modernbert", Pooling.cls, Task.multi_label),
]


@pytest.mark.parametrize(("kind", "pooling", "task"), EXPRESSED)
def test_a_pipeline_returns_the_same_scores(tmp_path: Path, kind: str, pooling: Pooling, task: Task) -> None:
    model = made(tmp_path / "encoder", kind, pooling, task)
    encoded = model.encode(TEXTS)
    assert (encoded.unread > 0).any()
    assert len(set(encoded.lengths)) > 5
    batch = encoded.batch(np.arange(len(TEXTS)))
    with torch.no_grad():
        logits = model.classifier(torch.tensor(batch.inputs), torch.tensor(batch.attention_mask)).numpy()
    scores = (sigmoid if task is Task.multi_label else softmax)(logits)
    assert scores.std(axis=0).max() > 1e-3  # The scores differ between documents.
    write_stock(tmp_path / "stock", model)
    found = pipeline_scores(tmp_path / "stock", TEXTS, model.schema, batch_size=7)
    assert np.abs(found - scores).max() < 1e-4
    assert (found.argmax(axis=1) == scores.argmax(axis=1)).all()


def test_the_folder_has_the_files_of_other_libraries(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    write_stock(tmp_path / "stock", made(tmp_path / "encoder", "bert", Pooling.mean, Task.multi_label))
    config = AutoConfig.from_pretrained(tmp_path / "stock")
    assert config.architectures == ["BertForSequenceClassification"]
    assert config.id2label == dict(enumerate(CLASSES))
    assert config.label2id == {name: i for i, name in enumerate(CLASSES)}
    assert config.problem_type == "multi_label_classification"
    assert config.pad_token_id == 0
    assert config.num_hidden_layers == 3
    loaded = AutoTokenizer.from_pretrained(tmp_path / "stock")
    assert (loaded.pad_token, loaded.model_max_length) == ("[PAD]", 48)
    assert len(loaded(" ".join(["cat"] * 100), truncation=True)["input_ids"]) == 48
    assert "auto_map" not in config.to_dict()


def test_half_precision_keeps_the_labels(tmp_path: Path) -> None:
    """No value of the added layer overflows in half precision."""
    model = made(tmp_path / "encoder", "bert", Pooling.mean)
    stock = stock_classifier(model)
    ids = torch.randint(4, 40, (32, 20), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(20) < torch.arange(32)[:, None] % 18 + 2).long()
    with torch.no_grad():
        expected = model.classifier(ids, mask)
        found = stock.half()(input_ids=ids, attention_mask=mask).logits.float()
    assert found.isfinite().all()
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize(
    ("kind", "pooling", "long_documents", "message"),
    [
        ("mpnet", Pooling.mean, "head", "model.pooling=cls"),
        ("deberta-v2", Pooling.mean, "head", "model.pooling=cls"),
        ("bert", Pooling.mean, "windows", "data.long_documents=head"),
        ("modernbert", Pooling.mean, "head_tail", "data.long_documents=head"),
        ("longformer", Pooling.cls, "head", "type longformer"),
    ],
)
def test_unsupported_models_are_refused(
    tmp_path: Path, kind: str, pooling: Pooling, long_documents: str, message: str
) -> None:
    model = made(tmp_path / "encoder", "bert", pooling, long_documents=long_documents)
    model.classifier.encoder.config.model_type = kind
    assert message in (refusal(model) or "")


def test_nothing_is_written_for_unsupported_models(tmp_path: Path) -> None:
    model = made(tmp_path / "encoder", "mpnet", Pooling.mean)
    with pytest.raises(SettingsError, match=r"model\.pooling=cls"):
        write_stock(tmp_path / "stock", model)
    assert not (tmp_path / "stock").exists()
