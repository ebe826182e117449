"""The gate: may a new version replace the one in production? Both answer the same test documents."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import RefreshRun
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import DataError, counted
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.decision.bootstrap import OVERALL, contributions, figures
from tagsmith.evaluate.comparison.margin import Gain, Margin, margin_of
from tagsmith.refresh.gate import checks as check
from tagsmith.refresh.gate.answers import Answers, Documents, Flags, Indicators, answers_of, documents_of, load_bundle
from tagsmith.refresh.gate.baseline import not_behind_tfidf
from tagsmith.refresh.gate.checks import Check
from tagsmith.refresh.gate.cost import bytes_of, side_by_side, slower
from tagsmith.refresh.gate.decision_json import (
    FROZEN,
    among,
    cost_json,
    group,
    groups,
    margin_json,
    number,
    shared_json,
)
from tagsmith.refresh.gate.page import write_page
from tagsmith.refresh.gate.shared import Match, Side, figures_of, match, own_side, shared_classes
from tagsmith.refresh.gate.wear import standing_of, wear_of
from tagsmith.refresh.store import Store, Version, now

log = logging.getLogger("tagsmith")

Json = dict[str, Any]

FORMAT = 1
"""Version of `decision.json`; a field that is added does not change it."""


@dataclass(frozen=True)
class Contender:
    """A version, loaded, with its answers on the test documents."""

    version: Version
    classifier: Classifier
    answers: Answers


def judge(
    settings: RefreshRun,
    store: Store,
    challenger: Version,
    champion: Version | None,
    slices: Mapping[str, set[str]],
) -> Json:
    """The decision about a version, the content of its decision.json; README.md names every field.

    The page of the comparison, `comparison.html`, is written beside it where there is something to compare with.

    Args:
        champion: the version in production; None: there is none yet.
        slices: ids of the test documents by slice; `frozen` are those of the beginning.

    Raises:
        DataError: there are no test documents, or a bundle is damaged.
    """
    documents = documents_of(challenger, "test")
    new = _contender(challenger, documents, f"remove {challenger.path} and run the same refresh again")
    if new.answers.schema != documents.schema:
        raise DataError(f"{challenger.bundle}: expected the classes of {challenger.run.schema}, found others.")
    old = None
    if champion is not None:
        remedy = "action=promote version=VERSION moves production to a version that loads"
        old = _contender(champion, documents, remedy)
    both = None if old is None else _match(settings, documents, old, new)
    if old is None or both is None:
        decided = _alone(settings, store, documents, old, new, slices)
    else:
        decided = _against(settings, store, documents, old, new, both, slices)
    if decided["wear"]["worn"]:
        log.warning(decided["wear"]["sentence"])
    return {
        "format": FORMAT,
        "version": challenger.name,
        "champion": None if champion is None else champion.name,
        "decided": now(),
        "gate": names(settings.gate),
        "by": settings.by.value,
        **decided,
    }


def _contender(version: Version, documents: Documents, remedy: str) -> Contender:
    classifier = load_bundle(version, remedy)
    return Contender(version, classifier, answers_of(classifier, documents.texts))


def _match(settings: RefreshRun, documents: Documents, old: Contender, new: Contender) -> Match | None:
    """Both on the same documents; None where they have no class in common, or another task."""
    if old.answers.schema.task is not new.answers.schema.task:
        return None
    path = settings.data.schema_changes
    changes = None if path is None else SchemaChanges.read(Path(path)).normalised()
    classes = shared_classes(old.answers.schema, new.answers.schema, changes)
    both = match(documents, old.answers, new.answers, classes)
    return both if both.ids else None


def _alone(
    settings: RefreshRun,
    store: Store,
    documents: Documents,
    old: Contender | None,
    new: Contender,
    slices: Mapping[str, set[str]],
) -> Json:
    """The decision about a version that there is nothing to compare with: by the floor and by TF-IDF."""
    by, multi_label = settings.by, documents.schema.multi_label
    side = own_side(documents, new.answers)
    values = figures_of(side, documents.truth, multi_label)
    training = documents_of(new.version, "train")
    found = [
        check.floor(values[check.floor_figure(by)], by, settings.bounds),
        not_behind_tfidf(training, documents, new.answers, by, settings.seed),
    ]
    if old is not None:
        found.insert(0, check.same_task(old.answers.schema, new.answers.schema))
    frozen = among(documents.ids, slices.get(FROZEN, set()))
    wear = wear_of(store, new.version, _frozen_margin(settings, documents.truth, frozen), names(settings.gate))
    own = group(documents.truth, multi_label, (None, side))
    return {
        **_verdict(new.version, found),
        "margin": None,
        "documents": {"test": len(documents), "compared": 0},
        "figures": {
            "compared": None,
            **groups(documents.ids, documents.truth, multi_label, (None, side), slices),
            "all_classes": own,
        },
        "classes": {"shared": {}, "new": _own_f1(documents, side, documents.schema.classes), "removed": []},
        "cost": cost_json(side_by_side([new.classifier], documents.texts), [bytes_of(new.version.bundle)]),
        "wear": wear.as_json(),
        "standing": standing_of(None, wear.test, None).as_json(),
    }


def _against(
    settings: RefreshRun,
    store: Store,
    documents: Documents,
    old: Contender,
    new: Contender,
    both: Match,
    slices: Mapping[str, set[str]],
) -> Json:
    """The decision about a version that can be compared with the one in production."""
    by, bounds = settings.by, settings.bounds
    own = own_side(documents, new.answers)
    compared = both.compared(settings.seed)
    p_values = check.corrected(compared, both.truth.sum(axis=0), bounds.min_class_documents)
    margin = margin_of(settings.margin, by, both.truth)
    frozen = among(both.ids, slices.get(FROZEN, set()))
    on_frozen = both.compared(settings.seed, frozen) if frozen.any() else None
    frozen_margin = _frozen_margin(settings, both.truth, frozen)
    wear = wear_of(store, new.version, frozen_margin, names(settings.gate))
    standing = standing_of(old.version, wear.test, None if on_frozen is None else Gain.of(on_frozen, by).value)
    seconds = side_by_side([old.classifier, new.classifier], documents.texts, bounds.max_latency_ratio)
    sizes = [bytes_of(one.version.bundle) for one in (old, new)]
    sides = (both.first, both.second)
    both_figures = [figures_of(side, both.truth, both.multi_label) for side in sides]
    all_classes = figures_of(own, documents.truth, both.multi_label)
    new_classes = _own_f1(documents, own, both.classes.new)

    versions, classifiers = (old.version, new.version), (old.classifier, new.classifier)
    write_page(settings, documents, versions, classifiers, both, compared)
    promises = [classifier.decision.rule.abstain_below is not None for classifier in classifiers]
    gate, gain = names(settings.gate), Gain.of(compared, by)
    found = []
    if "not_worse" in gate:
        found.append(check.not_worse(gain, margin))
        found.append(check.no_class_worse(both, compared, p_values, bounds.min_class_documents))
        if on_frozen is not None:
            found.append(check.since_best(standing, frozen_margin, wear.allowance))
    if "better" in gate:
        found.append(check.better(gain))
    if "floor" in gate:
        found.append(check.floor(all_classes[check.floor_figure(by)], by, bounds))
    if new_classes:
        found.append(check.new_classes(new_classes, bounds))
    found += [
        check.rise("calibration_error", "Calibration error", both_figures, bounds.max_calibration_error),
        check.to_person(both_figures, bounds.max_to_person, versions, promises),
        check.ratio("latency", "Time", slower(seconds), bounds.max_latency_ratio),
        check.ratio("size", "Size", sizes[1] / sizes[0], bounds.max_size_ratio),
    ]
    return {
        **_verdict(new.version, found),
        "margin": margin_json(margin, both.differ),
        "documents": {"test": len(documents), "compared": len(both.ids)},
        "figures": {
            "compared": group(both.truth, both.multi_label, sides, None, compared),
            **groups(both.ids, both.truth, both.multi_label, sides, slices, on_frozen),
            "all_classes": group(documents.truth, both.multi_label, (None, own)),
        },
        "classes": {
            "shared": shared_json(both, compared, p_values),
            "new": new_classes,
            "removed": list(both.classes.removed),
        },
        "cost": cost_json(seconds, sizes),
        "wear": wear.as_json(),
        "standing": standing.as_json(),
    }


def _frozen_margin(settings: RefreshRun, truth: Indicators, frozen: Flags) -> Margin:
    """The margin on the frozen documents; where there are none, on all."""
    return margin_of(settings.margin, settings.by, truth[frozen] if frozen.any() else truth)


def _own_f1(documents: Documents, side: Side, classes: Sequence[str]) -> Json:
    """Test documents and F1 of some classes of a version."""
    sums = figures(contributions(documents.truth, side.predicted).sum(axis=0))[len(OVERALL) :].reshape(-1, 3)
    at = documents.schema.label2id
    return {
        name: {"documents": int(documents.truth[:, at[name]].sum()), "f1": number(float(sums[at[name], 2]))}
        for name in classes
    }


def _verdict(version: Version, found: Sequence[Check]) -> Json:
    """Whether all checks have passed, and why."""
    failed = [one.sentence for one in found if not one.passed]
    reasons = failed or [one.sentence for one in found]
    more = f" {counted(len(failed) - 1, 'other check')} failed as well." if len(failed) > 1 else ""
    verdict = "is not promoted" if failed else "can be promoted"
    return {
        "promote": not failed,
        "sentence": f"{version.name} {verdict}. {reasons[0]}{more}",
        "reasons": reasons,
        "checks": [one.as_json() for one in found],
    }
