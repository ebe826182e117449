"""Run folders like those of evaluation and analysis, with made-up figures, for tests of pages and guidance."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.core.schema import Schema, Task
from tagsmith.decision.metrics import decide, figures

SUBJECTS = ["card", "transfer", "top up", "exchange rate", "refund", "identity", "PIN", "account", "cash", "payment"]
ACTIONS = ["arrival", "failed", "declined", "pending", "fee charged", "not recognised", "limit", "cancelled", "lost",
           "verified", "wrong amount", "blocked", "stolen", "updated", "delayed"]  # fmt: skip
WORDS = ["my", "the", "did", "still", "waiting", "for", "please", "tell", "me", "when", "will", "it", "be", "here",
         "again", "after", "two", "I", "tried", "to", "pay", "with", "app", "said", "no", "money", "was", "taken",
         "from", "balance", "shop", "abroad", "yesterday", "could", "you", "help"]  # fmt: skip
HOSTILE = "<script>alert(1)</script> <!-- </SCRIPT  \u2028 & \"quoted\" 'so' <b>bold</b> \U0001f600 end"
HOSTILE_CLASS = "a<b>&<script>alert(2)</script>"


def class_names(count: int) -> list[str]:
    """Up to 150 different names of realistic length."""
    return [f"{subject}: {action}" for action in ACTIONS for subject in SUBJECTS][:count]


def make_run(
    folder: Path,
    classes: int = 5,
    documents: int = 400,
    multi_label: bool = False,
    seed: int = 0,
    hostile: bool = False,
    all_wrong: bool = False,
) -> Path:
    """Write the evaluation, predictions, analysis, guidance, training metrics, schema and settings of a run.

    Args:
        hostile: the text of the first document and the name of the last class contain scripts that must not run.
        all_wrong: every document is tagged with the class after its true one.
    """
    draw = np.random.default_rng(seed)
    names = [*class_names(classes - hostile), *[HOSTILE_CLASS] * hostile]
    truth = np.zeros((documents, classes), dtype=np.int8)
    popularity = draw.dirichlet(np.full(classes, 4.0))
    truth[np.arange(documents), draw.choice(classes, documents, p=popularity)] = 1
    if multi_label:
        truth |= (draw.random(truth.shape) < 0.08).astype(np.int8)
    # Classes of the same subject are confused with each other.
    near = np.array([[a.split(":")[0] == b.split(":")[0] for b in names] for a in names], dtype=float)
    logits = truth * 5.0 + (truth @ near > 0) * 2.0 + draw.normal(0, 1.5, truth.shape)
    hard = draw.random(documents) < 0.12
    logits[hard] = draw.normal(0, 2.2, (int(hard.sum()), classes)) + 2.5 * (truth[hard] @ near > 0)
    if multi_label:
        scores = (1 / (1 + np.exp(-(logits - 4.2)))).astype(np.float32)
    else:
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = (logits / logits.sum(axis=1, keepdims=True)).astype(np.float32)
    predicted = decide(scores, multi_label, 0.5)
    if all_wrong:
        truth = np.roll(np.eye(classes, dtype=np.int8)[scores.argmax(axis=1)], 1, axis=1)
    texts = [_text(draw, names, row) for row in truth]
    if hostile:
        texts[0] = HOSTILE
        predicted[0], scores[0, :], truth[0] = 0, 0.01, 0
        predicted[0, -1] = truth[0, 0] = 1
        scores[0, -1] = 0.97
    evaluation = {"split": "test", "threshold": 0.5 if multi_label else None}
    evaluation |= figures(scores, truth, names, multi_label, 0.5) | _trust(draw, scores, truth, predicted, names)
    folder.mkdir(parents=True, exist_ok=True)
    schema = Schema(tuple(names), Task.multi_label if multi_label else Task.single_label)
    schema.save(folder / "schema.json")
    lines = []
    for i, text in enumerate(texts):
        lines.append(
            {
                "id": f"test.jsonl:{i + 1}",
                "text": text,
                "labels": schema.names(np.flatnonzero(truth[i])),
                "predicted": schema.names(np.flatnonzero(predicted[i])),
                "scores": {name: round(float(score), 6) for name, score in zip(names, scores[i], strict=True)},
                "to_person": bool(scores[i].max() < 0.7),
                "out_of_scope": round(float(draw.random()), 3),
            }
        )
    _write(folder / "predictions.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    _write_json(folder / "evaluation.json", evaluation)
    _write_json(folder / "analysis.json", _analysis(draw, evaluation, names, lines, popularity))
    _write_json(folder / "guidance.json", _guidance(names, lines))
    _write(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in _training(draw)))
    _write_json(folder / "settings.json", _settings())
    return folder


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, ensure_ascii=False, indent=1))


def _text(draw: np.random.Generator, names: list[str], row: Any) -> str:
    about = [word for i in np.flatnonzero(row) for word in names[i].replace(":", "").split()]
    words = [*draw.choice(WORDS, int(draw.integers(5, 40))), *about]
    draw.shuffle(words)
    return " ".join(words).capitalize() + "."


def _trust(draw: Any, scores: Any, truth: Any, predicted: Any, names: list[str]) -> dict[str, Any]:
    best, right = scores.max(axis=1), (truth == predicted).all(axis=1)
    edges = np.linspace(0, 1, 16)
    bins = []
    for low, high in pairwise(edges):
        inside = (best > low) & (best <= high)
        some = bool(inside.any())
        bins.append(
            {
                "low": float(low),
                "high": float(high),
                "documents": int(inside.sum()),
                "confidence": float(best[inside].mean()) if some else None,
                "accuracy": float(right[inside].mean()) if some else None,
            }
        )
    points = []
    for threshold in np.linspace(0, 0.99, 60):
        kept = best >= threshold
        points.append(
            {
                "threshold": float(threshold),
                "coverage": float(kept.mean()),
                "precision": float(right[kept].mean()) if kept.any() else None,
            }
        )
    thresholds = {name: round(float(draw.uniform(0.2, 0.6)), 3) for name in names}
    return {
        "scores": {
            "calibrated": True, "from": "out_of_fold", "temperature": 1.31, "ece_before": 0.071, "ece_after": 0.018,
            "log_loss_before": 0.41, "log_loss_after": 0.37, "reliability": bins,
        },
        "coverage": points,
        "operating_point": {"target_precision": 0.95} | next(
            (point for point in points if (point["precision"] or 0) >= 0.95), points[-1]
        ),
        "conformal": {
            "coverage_wanted": 0.95, "coverage_found": 0.953, "mean_set_size": 1.3,
            "set_sizes": {"0": 3, "1": 310, "2": 70, "3": 17},
        },
        "out_of_scope": {
            "threshold": 0.8, "false_alarm_rate_wanted": 0.05, "false_alarm_rate_found": 0.047,
            "detection_rate": 0.71, "auroc": 0.93,
        },
    } | ({"thresholds": thresholds} if (predicted.sum(axis=1) != 1).any() else {})  # fmt: skip


def _analysis(draw: Any, evaluation: dict[str, Any], names: list[str], lines: list[Any], shares: Any) -> dict[str, Any]:
    def around(value: float, width: float) -> list[float]:
        return [max(0.0, value - width), min(1.0, value + width)]

    wide = {name: 0.5 / max(1, row["support"]) ** 0.5 for name, row in evaluation["classes"].items()}
    micro, macro = evaluation["micro"]["f1"], evaluation["macro"]["f1"]
    points = [
        {"share": s, "documents": int(4000 * s), "macro_f1": macro - drop, "low": macro - drop - 0.02,
         "high": macro - drop + 0.02}
        for s, drop in ((0.25, 0.12), (0.5, 0.06), (0.75, 0.03), (1.0, 0.015))
    ]  # fmt: skip
    explained = {}
    for line in lines:
        if line["labels"] != line["predicted"]:
            starts = [i for i in range(len(line["text"])) if i == 0 or line["text"][i - 1] == " "]
            chosen = draw.choice(len(starts), min(4, len(starts)), replace=False)
            explained[line["id"]] = [
                {
                    "start": starts[i],
                    "end": (line["text"] + " ").index(" ", starts[i]),
                    "weight": round(0.4 / (n + 1), 3),
                }
                for n, i in enumerate(chosen)
            ]
    lengths = {
        split: {
            "p50": 24, "p95": 61, "max": 300, "cut": 7, "edges": list(range(0, 136, 8)),
            "counts": [int(n) for n in draw.poisson(np.linspace(2, 1, 17)[:16] ** 6 * scale)],
        }
        for split, scale in (("train", 12), ("test", 4))
    }  # fmt: skip
    pair = {"id": "train.jsonl:9", "other_id": "test.jsonl:4", "similarity": 0.94,
            "text": "Why was my card declined in a shop?", "other_text": "Why was my card declined there?"}  # fmt: skip
    return {
        "split": "test",
        "intervals": {
            "accuracy": around(evaluation["accuracy"], 0.02),
            "micro_f1": around(evaluation["micro"]["f1"], 0.02),
            "macro_f1": around(macro, 0.024),
            "classes": {
                name: {figure: around(row[figure], wide[name]) for figure in ("precision", "recall", "f1")}
                for name, row in evaluation["classes"].items()
            },
        },
        "baselines": {
            "probe": {"accuracy": evaluation["accuracy"] - 0.02, "micro_f1": micro - 0.02, "macro_f1": macro - 0.03},
            "tfidf": {"accuracy": evaluation["accuracy"] - 0.09, "micro_f1": micro - 0.1, "macro_f1": macro - 0.11},
        },
        "learning_curve": {
            "points": points,
            "gain": {"documents": 2000, "macro_f1": 0.012, "low": -0.004, "high": 0.029},
            "classes": {
                name: {"documents": [10, 20, 30, 40], "f1": [0.6, 0.7, 0.74, 0.77],
                       "gain": gain, "low": round(gain - 0.02, 3), "high": round(gain + 0.03, 3)}
                for name, gain in zip(names, draw.uniform(0.0, 0.08, len(names)).round(3).tolist(), strict=True)
            },
        },
        "data": {
            "classes": {
                name: {"train": int(4000 * shares[i]), "test": evaluation["classes"][name]["support"]}
                for i, name in enumerate(names)
            },
            "documents": {"train": 4000, "test": len(lines)},
            "tokens": lengths,
        },
        "near_duplicates": {
            "within": {"train": 31, "test": 2},
            "across": [{**pair, "other_split": "test"}],
            "differently_tagged": [
                {**pair, "split": "train", "other_split": "test", "labels": [names[0]], "other_labels": [names[1]]}
            ],
            "without": {"documents": len(lines) - 1, "accuracy": evaluation["accuracy"] - 0.001,
                        "micro_f1": 0.9, "macro_f1": macro - 0.001},
        },
        "explanations": {"by": "occlusion", "documents": explained, "classes": dict.fromkeys(explained, names[0])},
    }  # fmt: skip


def _guidance(names: list[str], lines: list[Any]) -> list[dict[str, Any]]:
    wrong = [line for line in lines if line["labels"] != line["predicted"]][:4] or lines[:2]
    examples = [
        {**{key: line[key] for key in ("id", "text", "labels", "predicted")}, "split": "test"} for line in wrong
    ]
    return [
        {
            "kind": "collision", "severity": "problem", "classes": names[:2],
            "title": f"{names[0]} and {names[1]} are confused with each other: 18 documents.",
            "reason": "18 documents are confused both ways, more than by chance (3.1 expected).",
            "figure": {"documents": 18, "expected": 3.1, "p_value": 0.0004, "macro_f1_merged": 0.912},
            "remedy": "Read the examples side by side. If a person cannot tell the classes apart either, merge them.",
            "examples": examples,
        },
        {
            "kind": "few_documents", "severity": "advice", "classes": names[2:3],
            "title": f"1 class has fewer than 15 training documents: {names[2]}.",
            "reason": "A class with fewer than 15 training documents is seldom learned; 50 are recommended.",
            "figure": {"train": 12, "recommended": 50, "by_class": {names[2]: 12}},
            "remedy": "Tag 38 more documents of this class.",
            "examples": [{"id": lines[0]["id"], "text": lines[0]["text"], "split": "test"}],
        },
        {
            "kind": "cut", "severity": "note", "classes": [],
            "title": "7 documents are longer than what the model reads.",
            "reason": "A window has 256 tokens. The model ignores the rest.",
            "figure": {"documents": 7}, "remedy": "Train with data.long_documents=windows and compare.", "examples": [],
        },
    ]  # fmt: skip


def _training(draw: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(10, 610, 10):
        loss = 0.2 + 1.6 * np.exp(-step / 150) + float(draw.normal(0, 0.03))
        lines.append({"step": step, "epoch": step // 200, "loss": loss, "grad_norm": 1.0,
                      "learning_rate": 2e-4 * (1 - step / 620), "tokens": 9000, "tokens_per_second": 800.0,
                      "padding_share": 0.05})  # fmt: skip
        if step % 200 == 0:
            f1 = 0.9 - 0.3 * np.exp(-step / 200)
            lines.append({"step": step, "epoch": step // 200, "validation/macro_f1": f1,
                          "validation/log_loss": 0.6 - step / 2000, "validation/accuracy": f1 + 0.01})  # fmt: skip
    return lines


def _settings() -> dict[str, Any]:
    return {
        "settings": {"seed": 0, "data.train": "train.jsonl", "model.name": "tiny", "model.path": None,
                     "model.package": None, "train.recipe": "finetune", "train.epochs": 3},
        "command": ["scripts/train.py", "data=jsonl", "data.train=train.jsonl"],
        "started": "2026-11-20T10:00:00+0000", "python": "3.11.7", "machine": "Linux x86_64, 2 cores",
        "processes": 1, "precision": "fp32",
        "versions": {"tagsmith": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "commit": "0123456789abcdef0123456789abcdef01234567",
    }  # fmt: skip
