"""Guidance about the tagged documents: how many there are, in which split, how long, how alike."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagsmith.core.errors import counted
from tagsmith.decision.significance import LEVEL, holm, proportions_differ
from tagsmith.evaluate.class_limits import FEW, RECOMMENDED, is_imbalanced, largest_class
from tagsmith.evaluate.guidance.lines import SHOWN_EXAMPLES, Facts, Line, Severity, named, verb

OTHER_SHARE = 1.25
"""Ratio of two shares below which a difference does not matter, however significant."""

MUCH_CUT = 0.05
"""Share of documents cut above which the line is advice rather than a note."""

MANY = 0.01
"""Loss of accuracy without near-duplicates, or share of documents tagged differently, above which it is a problem."""


def few_documents(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes with too few training documents, those with the fewest first."""
    trained = _training_documents(analysis, facts)
    for severity, low, high in ((Severity.problem, 0, FEW), (Severity.advice, FEW, RECOMMENDED)):
        few = sorted((name for name, count in trained.items() if low <= count < high), key=lambda n: trained[n])
        if not few:
            continue
        missing = sum(high - trained[name] for name in few)
        if severity is Severity.problem:
            count = f"fewer than {high}"
            why = f"A class with fewer than {FEW} training documents is seldom learned; {RECOMMENDED} are recommended"
        else:
            count = f"{low} to {high - 1}"
            why = f"Figures still rise with more training documents; {RECOMMENDED} per class are recommended"
        yield Line(
            "few_documents",
            severity,
            f"{counted(len(few), 'class')} {verb(few, 'has', 'have')} {count} training documents: {named(few)}.",
            f"{why}. {few[0]} has {trained[few[0]]}.",
            f"Tag {counted(missing, 'more document')} of {verb(few, 'this class', 'these classes')}, or merge classes "
            "that you do not need to distinguish.",
            few,
            {"wanted": high, "missing": missing, "by_class": {name: trained[name] for name in few}},
            size=len(few),
        )


def absent_from_test(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes without an evaluated document."""
    split = analysis["split"]
    absent = [name for name in facts.classes if not analysis["data"]["classes"][name].get(split, 0)]
    if absent:
        yield Line(
            "absent_from_test",
            Severity.problem,
            f"{counted(len(absent), 'class')} {verb(absent, 'has', 'have')} no documents in {split}: {named(absent)}.",
            f"No figure shows how well {verb(absent, 'it is', 'they are')} found, and no average includes "
            f"{verb(absent, 'it', 'them')}.",
            f"Tag documents of {verb(absent, 'this class', 'these classes')} for {split}. A test split that is drawn "
            "(data.test_share=) gets its share of every class that has enough documents.",
            absent,
            {"classes": len(absent)},
        )


def imbalance(analysis: Mapping[str, Any], evaluation: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes that are far smaller than the largest one."""
    trained = _training_documents(analysis, facts)
    largest = largest_class(trained)
    small = sorted(
        (name for name, count in trained.items() if is_imbalanced(count, trained[largest])), key=lambda n: trained[n]
    )
    if small:
        f1 = [evaluation["classes"][name]["f1"] for name in small]
        yield Line(
            "imbalance",
            Severity.advice,
            f"{counted(len(small), 'class')} {verb(small, 'has', 'have')} at most a tenth of the training documents of "
            f"{largest}: {named(small)}.",
            f"{largest} has {counted(trained[largest], 'training document')}, {small[0]} has {trained[small[0]]}. "
            f"Small classes are easily missed: mean F1 is {sum(f1) / len(f1):.2f} over these, "
            f"{evaluation['macro']['f1']:.2f} over all classes.",
            "Keep tagging documents as they come in until the small classes have enough, and try "
            "train.class_weights=root. Do not tag the small classes alone: a class that is more common in training "
            "than in practice is predicted too often.",
            small,
            {
                "largest": trained[largest],
                "smallest": trained[small[0]],
                "by_class": {name: trained[name] for name in small},
            },
            size=len(small),
        )


def other_mix(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes whose share differs between the evaluated split and training."""
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
            f"{counted(len(names), 'class')} {verb(names, 'has', 'have')} a different share in {split} than in train: "
            f"{named(names)}.",
            f"{names[0]} has {first['train']:.1%} of the training documents and {first[split]:.1%} of {split}, which "
            f"chance does not explain (test of proportions per class, Holm-corrected for "
            f"{counted(len(counts), 'class')}). Accuracy and precision hold for this mix only.",
            f"If {split} has the mix that the model will meet, nothing is wrong. Otherwise draw its documents at "
            "random from what comes in, and judge by the recall of each class rather than by accuracy.",
            names,
            {"classes": len(names), "by_class": differing},
        )


def near_duplicates(analysis: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Iterator[Line]:
    """Evaluated documents that the model has nearly seen in training, and the figures without them."""
    split, found = analysis["split"], analysis["near_duplicates"]
    count = found["across_documents"].get(split, 0)
    if not count:
        return
    share, without = count / evaluation["documents"], found["without"]
    if without:
        drop = max(evaluation["accuracy"] - without["accuracy"], evaluation["macro"]["f1"] - without["macro_f1"])
        effect = (
            f"Without them, accuracy is {without['accuracy']:.4f} instead of {evaluation['accuracy']:.4f} and macro F1 "
            f"{without['macro_f1']:.4f} instead of {evaluation['macro']['f1']:.4f}."
        )
        figure = {f"{name}_without": without[name] for name in ("accuracy", "micro_f1", "macro_f1")}
    else:
        drop, effect, figure = 1.0, f"No document of {split} is left without them.", {}
    lines = [line for line in found["across"] if line["split"] == split][: SHOWN_EXAMPLES // 2]
    yield Line(
        "near_duplicates",
        Severity.problem if drop > MANY else Severity.note,
        f"{counted(count, 'document')} of {split} nearly {'repeats' if count == 1 else 'repeat'} a training document.",
        f"The model may have memorized {share:.1%} of {split}. {effect}",
        "Split the documents again so that near-duplicates stay together: give them a common group field and let the "
        "test split be drawn."
        if drop > MANY
        else f"None needed: without them, neither figure falls by more than {MANY}.",
        (),
        {
            "documents": count,
            "share": share,
            "accuracy": evaluation["accuracy"],
            "micro_f1": evaluation["micro"]["f1"],
            "macro_f1": evaluation["macro"]["f1"],
            **figure,
        },
        [_side(line, other) for line in lines for other in ("", "other_")],
        count,
    )


def contradictions(analysis: Mapping[str, Any]) -> Iterator[Line]:
    """Texts that are tagged in several ways."""
    found = analysis["near_duplicates"]
    count, total = found["same_text_differently_tagged"], sum(found["compared"].values())
    if not count:
        return
    pairs = found["differently_tagged"][:count]
    by_class = _classes_that_differ(pairs)
    names = list(by_class)
    yield Line(
        "contradictions",
        Severity.problem if count > MANY * total else Severity.advice,
        f"{counted(count, 'text')} {'is' if count == 1 else 'are'} tagged in several ways: {named(names)}.",
        "Documents that are the same but for case and spaces have different tags: no classifier can be right about all "
        "of them, and in training they contradict each other.",
        "Decide on the tags of each text before anything else, and correct them at their source; contradictions.jsonl "
        "of the run lists the places (data.tagged changes training documents only).",
        names,
        {"texts": count, "documents": total, "by_class": by_class},
        [_side(pair, other) for pair in pairs[: SHOWN_EXAMPLES // 2] for other in ("", "other_")],
        count,
    )


def differently_tagged(analysis: Mapping[str, Any]) -> Iterator[Line]:
    """Documents that are nearly the same and have different classes."""
    found = analysis["near_duplicates"]
    same = found["same_text_differently_tagged"]
    pairs, count = found["differently_tagged"][same:], found["differently_tagged_pairs"] - same
    if not count:
        return
    total = sum(found["compared"].values())
    by_class = _classes_that_differ(pairs)
    names = list(by_class)
    yield Line(
        "differently_tagged",
        Severity.problem if count > MANY * total else Severity.advice,
        f"{counted(count, 'pair')} of documents {'is' if count == 1 else 'are'} nearly the same but tagged differently"
        f": {named(names)}.",
        "One document of each pair is probably tagged wrongly. In training, the two contradict each other; in the "
        "evaluation, a right answer counts as wrong.",
        "Read the pairs (near_duplicates.differently_tagged in analysis.json) and give both documents the same tags at "
        "their source (data.tagged changes training documents only), unless the few characters that differ decide.",
        names,
        {"pairs": count, "documents": total, "by_class": by_class},
        [_side(pair, other) for pair in pairs[: SHOWN_EXAMPLES // 2] for other in ("", "other_")],
        count,
    )


def documents_cut(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Documents of which the model reads only a part."""
    tokens, documents = analysis["data"]["tokens"], analysis["data"]["documents"]
    cut = {split: found["cut"] for split, found in tokens.items() if found["cut"]}
    if not cut:
        return
    total, of = sum(cut.values()), sum(documents.values())
    kind, most = facts.rule["long_documents"], facts.rule["max_tokens"]
    other = {
        "head": "data.long_documents=head_tail or data.long_documents=windows",
        "head_tail": "data.long_documents=windows",
        "windows": f"more than data.max_windows={facts.rule['max_windows']}",
    }[kind]
    longest = max(found["max"] for found in tokens.values())
    yield Line(
        "documents_cut",
        Severity.advice if total > MUCH_CUT * of else Severity.note,
        f"{counted(total, 'document')} ({total / of:.1%}) {'is' if total == 1 else 'are'} longer than what the model "
        "reads.",
        f"With data.long_documents={kind}, a window has {most} tokens; the longest document has {longest:,}. The model "
        "ignores the rest.",
        f"Train with {other}, or with a larger data.max_tokens= if the encoder accepts more, and compare.",
        (),
        {"documents": total, "share": total / of, "max_tokens": most, "longest": longest, "by_split": cut},
        size=total,
    )


def _training_documents(analysis: Mapping[str, Any], facts: Facts) -> dict[str, int]:
    return {name: analysis["data"]["classes"][name].get("train", 0) for name in facts.classes}


def _classes_that_differ(pairs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """In how many pairs one document has the class and the other has not, by class, the most frequent first."""
    found = Counter(name for pair in pairs for name in set(pair["labels"]) ^ set(pair["other_labels"]))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _side(pair: Mapping[str, Any], other: str) -> dict[str, Any]:
    """One document of a pair as an example; `other`: "" for the first, "other_" for the second."""
    return {name: pair[f"{other}{name}"] for name in ("id", "text", "labels", "split")}
