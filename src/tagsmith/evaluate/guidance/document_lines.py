"""Lines about the tagged documents: how many, in which split, how long, how alike."""

from collections.abc import Iterator, Mapping
from typing import Any

from tagsmith.core.errors import counted
from tagsmith.decision.significance import LEVEL, holm, proportions_differ
from tagsmith.evaluate.class_limits import FEW, RECOMMENDED, is_imbalanced, largest_class
from tagsmith.evaluate.guidance.lines import SHOWN_EXAMPLES, Facts, Line, Severity, named

OTHER_SHARE = 1.25
"""How many times larger one share is than the other, below which a difference does not matter, however sure."""

MUCH_CUT = 0.05
"""Share of documents that are cut, from which it is more than a note."""

MANY = 0.01
"""Loss of accuracy without near-duplicates, and share of documents tagged differently, from which it is a problem."""


def few_documents(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes with too few training documents, those with the fewest first."""
    trained = {name: analysis["data"]["classes"][name].get("train", 0) for name in facts.classes}
    for severity, low, high in ((Severity.problem, 0, FEW), (Severity.advice, FEW, RECOMMENDED)):
        few = sorted((name for name, count in trained.items() if low <= count < high), key=lambda n: trained[n])
        if not few:
            continue
        wanted = sum(high - trained[name] for name in few)
        why = (
            "With so few a class is seldom learned" if severity is Severity.problem else "With more, figures still rise"
        )
        few_are = f"fewer than {high}" if severity is Severity.problem else f"{low} to {high - 1}"
        yield Line(
            "few_documents",
            severity,
            f"{counted(len(few), 'class')} with {few_are} training documents: {named(few)}.",
            f"{why}: {FEW} are the least, {RECOMMENDED} are recommended; {few[0]} has {trained[few[0]]}.",
            f"Tag {counted(wanted, 'more document')} of {'this class' if len(few) == 1 else 'these classes'}, or merge "
            "classes that need not be told apart.",
            few,
            {"wanted": high, "missing": wanted, "by_class": {name: trained[name] for name in few}},
            size=len(few),
        )


def absent_from_test(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes of which no document was evaluated."""
    split = analysis["split"]
    absent = [name for name in facts.classes if not analysis["data"]["classes"][name].get(split, 0)]
    if absent:
        yield Line(
            "absent_from_test",
            Severity.problem,
            f"{counted(len(absent), 'class')} without a document in {split}: {named(absent)}.",
            "Nothing is known of how well they are found, and no average holds them.",
            f"Tag documents of them for {split}; a test split that is drawn (data.test_share=) has its share of every "
            "class that has enough of them.",
            absent,
            {"classes": len(absent)},
        )


def imbalance(analysis: Mapping[str, Any], evaluation: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes that are far smaller than the largest one."""
    trained = {name: analysis["data"]["classes"][name].get("train", 0) for name in facts.classes}
    largest = largest_class(trained)
    small = sorted(
        (name for name, count in trained.items() if is_imbalanced(count, trained[largest])), key=lambda n: trained[n]
    )
    if small:
        f1 = [evaluation["classes"][name]["f1"] for name in small]
        yield Line(
            "imbalance",
            Severity.advice,
            f"{counted(len(small), 'class')} with at most a tenth of the documents of {largest}: {named(small)}.",
            f"{trained[largest]:,} training documents of {largest}, {trained[small[0]]} of {small[0]}. Small "
            f"classes are easily missed; the mean F1 of these is {sum(f1) / len(f1):.2f}, of all classes "
            f"{evaluation['macro']['f1']:.2f}.",
            "Tag more documents as they come until the small classes have enough, and try train.class_weights=root: a "
            "class that is commoner in training than elsewhere is called too often.",
            small,
            {
                "largest": trained[largest], "smallest": trained[small[0]],
                "by_class": {name: trained[name] for name in small},
            },
            size=len(small),
        )  # fmt: skip


def other_mix(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes whose share in the evaluated split is another one than in training."""
    split, data = analysis["split"], analysis["data"]
    if split == "train":
        return
    of, other_of = data["documents"]["train"], data["documents"][split]
    counts = {
        name: (data["classes"][name].get("train", 0), data["classes"][name].get(split, 0)) for name in facts.classes
    }
    values = holm([proportions_differ(a, of, b, other_of) for a, b in counts.values()])
    differing = {}
    for (name, (a, b)), p in zip(counts.items(), values, strict=True):
        share, other_share = a / of, b / other_of
        if p <= LEVEL and max(share, other_share) >= OTHER_SHARE * min(share, other_share):
            differing[name] = {"train": share, split: other_share, "p": p}
    if differing:
        names = sorted(differing, key=lambda name: (differing[name]["p"], name))
        first = differing[names[0]]
        yield Line(
            "other_mix",
            Severity.advice,
            f"{counted(len(names), 'class')} with another share in {split} than in train: {named(names)}.",
            f"{names[0]} has {first['train']:.1%} of the training documents and {first[split]:.1%} of "
            f"{split}; by chance this would not be (a test of proportions a class, corrected by Holm for "
            f"{counted(len(counts), 'class')}). Accuracy and precision hold for this mix alone.",
            f"If {split} has the mix that the model will meet, all is well. If not, take its documents at random from "
            "what comes in, and read recall a class rather than accuracy.",
            names,
            {"classes": len(names), "by_class": differing},
        )


def near_duplicates(analysis: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Iterator[Line]:
    """Evaluated documents that the model has nearly seen, with the figures without them."""
    found, split = analysis["near_duplicates"], analysis["split"]
    count = found["across_documents"].get(split, 0)
    if not count:
        return
    without = found["without"]
    share = count / evaluation["documents"]
    if without:
        drop = max(evaluation["accuracy"] - without["accuracy"], evaluation["macro"]["f1"] - without["macro_f1"])
        told = (
            f"Without them accuracy is {without['accuracy']:.4f} instead of {evaluation['accuracy']:.4f}, macro F1 "
            f"{without['macro_f1']:.4f} instead of {evaluation['macro']['f1']:.4f}."
        )
        figure = {f"{name}_without": without[name] for name in ("accuracy", "micro_f1", "macro_f1")}
    else:
        drop, told, figure = 1.0, f"Nothing of {split} is left without them.", {}
    lines = [line for line in found["across"] if line["split"] == split][: SHOWN_EXAMPLES // 2]
    yield Line(
        "near_duplicates",
        Severity.problem if drop > MANY else Severity.note,
        f"{counted(count, 'document')} of {split} nearly the same as one that was trained on.",
        f"{share:.1%} of {split} can be known by heart. {told}",
        "Divide the documents anew so that what belongs together stays together: give them a group field, and let the "
        "test split be drawn." if drop > MANY else f"Little: without them neither falls by more than {MANY}.",
        (),
        {
            "documents": count, "share": share, "accuracy": evaluation["accuracy"],
            "micro_f1": evaluation["micro"]["f1"], "macro_f1": evaluation["macro"]["f1"], **figure,
        },
        [
            _side(line, other) for line in lines for other in ("", "other_")
        ],
        count,
    )  # fmt: skip


def differently_tagged(analysis: Mapping[str, Any]) -> Iterator[Line]:
    """Documents that are nearly the same and have different classes."""
    found = analysis["near_duplicates"]
    pairs, count = found["differently_tagged"], found["differently_tagged_pairs"]
    if not count:
        return
    total = sum(found["compared"].values())
    concerned: dict[str, int] = {}
    for pair in pairs:
        for name in set(pair["labels"]) ^ set(pair["other_labels"]):
            concerned[name] = concerned.get(name, 0) + 1
    names = sorted(concerned, key=lambda name: (-concerned[name], name))
    yield Line(
        "differently_tagged",
        Severity.problem if count > MANY * total else Severity.advice,
        f"Nearly the same but tagged differently: {counted(count, 'pair')} of documents, of {named(names)}.",
        "One of each pair is probably tagged wrongly. Among training documents, what it teaches the model the other "
        "one takes back; among evaluated ones it makes a right answer look wrong.",
        "Read the pairs (analysis.json, near_duplicates.differently_tagged) and tag both documents alike where "
        "they come from (data.tagged changes training documents alone), unless the few characters between them decide.",
        names,
        {"pairs": count, "documents": total, "by_class": {name: concerned[name] for name in names}},
        [
            _side(pair, other) for pair in pairs[: SHOWN_EXAMPLES // 2] for other in ("", "other_")
        ],
        count,
    )  # fmt: skip


def _side(pair: Mapping[str, Any], other: str) -> dict[str, Any]:
    """One of two documents as an example; `other`: "" for the first, "other_" for the second."""
    return {name: pair[f"{other}{name}"] for name in ("id", "text", "labels", "split")}


def documents_cut(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Documents of which the model reads a part."""
    tokens, documents = analysis["data"]["tokens"], analysis["data"]["documents"]
    cut = {split: found["cut"] for split, found in tokens.items() if found["cut"]}
    if not cut:
        return
    total, of = sum(cut.values()), sum(documents.values())
    kind, most = facts.rule["long_documents"], facts.rule["max_tokens"]
    other = {
        "head": "data.long_documents=head_tail or data.long_documents=windows",
        "head_tail": "data.long_documents=windows",
        "windows": f"a number above data.max_windows={facts.rule['max_windows']}",
    }[kind]
    longest = max(found["max"] for found in tokens.values())
    yield Line(
        "documents_cut",
        Severity.advice if total > MUCH_CUT * of else Severity.note,
        f"{counted(total, 'document')} ({total / of:.1%}) are longer than what is read.",
        f"A window has {most} tokens and data.long_documents={kind}; the longest document has {longest:,} tokens. "
        "What stands in the rest has no say.",
        f"Train with {other}, or with a larger data.max_tokens= where the encoder reads more, and compare.",
        (),
        {"documents": total, "share": total / of, "max_tokens": most, "longest": longest, "by_split": cut},
        size=total,
    )  # fmt: skip
