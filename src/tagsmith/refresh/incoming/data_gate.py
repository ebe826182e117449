"""The data gate: the documents of today against those of the last refresh, before anything is trained."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from tagsmith.config.settings.refresh import AcceptSettings
from tagsmith.core.errors import DataError, counted
from tagsmith.refresh.incoming.seen import Seen, match
from tagsmith.refresh.incoming.whats_new import News
from tagsmith.refresh.store import Json

LEAST = 50
"""Documents from which a share says something: with fewer, chance moves a share by more than 0.07 (standard error)."""

EXAMPLES = 3

SAYS_LANGUAGE = 0.9
"""Share of documents with a `language` from which that field is compared, rather than writing systems."""


class DataRefused(DataError):
    """Figures of the documents in `news` break bounds; `figures` are all of them."""

    def __init__(self, message: str, figures: Sequence[Json], news: News) -> None:
        super().__init__(message)
        self.figures = figures
        self.news = news


def check_data(accept: AcceptSettings, news: News) -> list[Json]:
    """Compare the documents with those before; in the first refresh, only contradictions and copies count.

    What `data.schema_changes` renames, merges or deletes is compared under its name of today.

    Returns:
        One figure per bound: `name` of its setting, `value`, `bound`, `passed`, `sentence`, `examples`. Where there
        are too few documents for it, `value` is null and it has passed.

    Raises:
        DataRefused: figures break their bounds; all of these are listed, with examples and the setting to change.
    """
    found, news = news, _with_changes(news)
    figures = [_contradictory(accept, news), _copies(accept, news)]
    if not news.first:
        figures = [
            _fewer(accept, news),
            _more(accept, news),
            _retagged(accept, news),
            _class_shift(accept, news),
            _new_class_shift(accept, news),
            _vanished(accept, news),
            _appeared(accept, news),
            *figures,
            _length(accept, news),
            _language(accept, news),
        ]
    if broken := [figure for figure in figures if not figure["passed"]]:
        lines = []
        for figure in broken:
            lines.append(f"  - {figure['sentence']}")
            lines += [f"      {example}" for example in figure["examples"]]
        # Names of settings alone, so that this line, which notifications have, holds nothing of the documents.
        headline = (
            f"The data gate refuses the documents of today by {', '.join(figure['name'] for figure in broken)}; "
            "production is as it was. Correct the data, or raise the named setting if the change is right:"
        )
        raise DataRefused("\n".join([headline, *lines]), figures, found)
    return figures


def _with_changes(news: News) -> News:
    """The same documents; those of before have their tags as `data.schema_changes` changes them."""
    if (changes := news.read.changes) is None:
        return news
    before = [
        replace(one, labels=tuple(sorted({changes.become.get(name, name) for name in one.labels} - {*changes.delete})))
        for one in news.before
    ]
    return replace(news, before=before, matched=match(before, news.documents))


def _figure(
    name: str, value: float | None, bound: float, passed: bool, sentence: str, examples: Iterable[object] = ()
) -> Json:
    shown = [] if passed else [str(example) for _, example in zip(range(EXAMPLES), examples, strict=False)]
    return {
        "name": f"accept.{name}",
        "value": None if value is None else round(value, 4),
        "bound": bound,
        "passed": passed,
        "sentence": f"{sentence} (accept.{name}={_plain(bound)})",
        "examples": shown,
    }


def _plain(bound: float) -> str:
    return str(bound).lower() if isinstance(bound, bool) else f"{bound:g}"


def _too_few(name: str, bound: float, what: str, found: int) -> Json:
    return _figure(name, None, bound, True, f"{what}: not judged, {found:,} of the {LEAST} documents that it takes")


def _fewer(accept: AcceptSettings, news: News) -> Json:
    gone, before = len(news.withdrawn), len(news.before)
    value = gone / before
    sentence = f"{gone:,} of {counted(before, 'document')} of before are gone: {value:.1%}"
    return _figure("max_fewer", value, accept.max_fewer, value <= accept.max_fewer, sentence, news.withdrawn)


def _more(accept: AcceptSettings, news: News) -> Json:
    today, before = len(news.documents), len(news.before)
    value = today / before
    sentence = f"{counted(today, 'document')}, {value:.2f} times the {before:,} before"
    return _figure("max_more", value, accept.max_more, value <= accept.max_more, sentence, news.new)


def _retagged(accept: AcceptSettings, news: News) -> Json:
    bound, kept = accept.max_retagged, len(news.before) - len(news.withdrawn)
    if kept < LEAST:
        return _too_few("max_retagged", bound, "tags of the documents of before", kept)
    value = len(news.retagged) / kept
    sentence = f"{len(news.retagged):,} of {counted(kept, 'document')} of before have other tags: {value:.1%}"
    examples = (f"{other}, before {'+'.join(one.labels) or 'no class'}" for one, other in news.retagged)
    return _figure("max_retagged", value, bound, value <= bound, sentence, examples)


def _shares(documents: Sequence[Seen]) -> dict[str, float]:
    counts = Counter(name for one in documents for name in one.labels)
    return {name: count / len(documents) for name, count in counts.items()}


def _largest_shift(before: Mapping[str, float], today: Mapping[str, float]) -> tuple[str, float]:
    shifts = {name: round(today.get(name, 0) - before.get(name, 0), 9) for name in sorted({*before, *today})}
    name = max(
        shifts, key=lambda one: (abs(shifts[one]), shifts[one]), default=""
    )  # Of two classes, the one that rose.
    return name, abs(shifts.get(name, 0.0))


def _class_shift(accept: AcceptSettings, news: News) -> Json:
    bound, found = accept.max_class_shift, min(len(news.before), len(news.documents))
    if found < LEAST:
        return _too_few("max_class_shift", bound, "classes of the documents", found)
    before, today = _shares(news.before), _shares(news.documents)
    name, value = _largest_shift(before, today)
    sentence = f"class {name}: {before.get(name, 0):.1%} of the documents before, {today.get(name, 0):.1%} now"
    examples = [one for one in (*news.new, *news.withdrawn) if name in one.labels]
    return _figure("max_class_shift", value, bound, value <= bound, sentence, examples)


def _new_class_shift(accept: AcceptSettings, news: News) -> Json:
    """Among the documents of classes that there were before; how many classes appear has a bound of its own."""
    known = {name for one in news.before for name in one.labels}
    new = [one for one in news.new if not one.labels or known.intersection(one.labels)]
    bound, what = accept.max_new_class_shift, "classes of the new documents"
    if min(len(new), len(news.before)) < LEAST:
        return _too_few("max_new_class_shift", bound, what, min(len(new), len(news.before)))
    before, today = _shares(news.before), {name: share for name, share in _shares(new).items() if name in known}
    name, value = _largest_shift(before, today)
    sentence = f"class {name}: {before.get(name, 0):.1%} of the documents before, {today.get(name, 0):.1%} of the new"
    examples = [one for one in new if (name in one.labels) == (today.get(name, 0) > before.get(name, 0))]
    return _figure("max_new_class_shift", value, bound, value <= bound, sentence, examples)


def _vanished(accept: AcceptSettings, news: News) -> Json:
    before = Counter(name for one in news.before for name in one.labels)
    gone = sorted(before.keys() - {name for one in news.documents for name in one.labels})
    sentence = f"{counted(len(gone), 'class')} without documents now"
    passed = accept.vanished_classes or not gone
    examples = (f"{name}: {counted(before[name], 'document')} before" for name in gone)
    return _figure("vanished_classes", len(gone), accept.vanished_classes, passed, sentence, examples)


def _appeared(accept: AcceptSettings, news: News) -> Json:
    today = Counter(name for one in news.documents for name in one.labels)
    new = sorted(today.keys() - {name for one in news.before for name in one.labels})
    sentence = f"{counted(len(new), 'class')} that there {'was' if len(new) == 1 else 'were'} not before"
    bound = accept.max_new_classes
    examples = (f"{name}: {counted(today[name], 'document')}" for name in new)
    return _figure("max_new_classes", len(new), bound, len(new) <= bound, sentence, examples)


def _contradictory(accept: AcceptSettings, news: News) -> Json:
    tags: dict[str, set[tuple[str, ...]]] = {}
    for one in news.documents:
        tags.setdefault(one.sha256, set()).add(one.labels)
    bound, of = accept.max_contradictory, len(news.documents)
    if of < LEAST:
        return _too_few("max_contradictory", bound, "texts with several tags", of)
    found = [one for one in news.documents if len(tags[one.sha256]) > 1]
    value = len(found) / of
    sentence = f"{len(found):,} of {counted(of, 'document')} have a text with several tags: {value:.1%}"
    found.sort(key=lambda one: one.sha256)  # The documents of one text side by side.
    return _figure("max_contradictory", value, bound, value <= bound, sentence, found)


def _copies(accept: AcceptSettings, news: News) -> Json:
    """Of what was added, how much is not a text that nobody has seen."""
    new = {id(one) for one in (*news.new, *news.matched.copies)}
    bound, what = accept.max_copies, "copies among the new documents"
    if len(new) < LEAST:
        return _too_few("max_copies", bound, what, len(new))
    known = {one.sha256 for one in news.documents if id(one) not in new} | {one.sha256 for one in news.before}
    copies = []
    for one in news.documents:
        if id(one) in new:
            if one.sha256 in known:
                copies.append(one)
            known.add(one.sha256)
    value = len(copies) / len(new)
    sentence = f"{len(copies):,} of {counted(len(new), 'new document')} are exact copies of others: {value:.1%}"
    return _figure("max_copies", value, bound, value <= bound, sentence, copies)


def _length(accept: AcceptSettings, news: News) -> Json:
    bound, what = accept.max_length_ratio, "length of the new documents"
    if (found := min(len(news.new), len(news.before))) < LEAST:
        return _too_few("max_length_ratio", bound, what, found)
    before, new = (median(one.length for one in some) for some in (news.before, news.new))
    value = max(before, new) / max(1, min(before, new))
    sentence = f"median length {before:,.0f} characters before, {new:,.0f} of the new documents"
    examples = sorted(news.new, key=lambda one: one.length, reverse=new > before)
    return _figure("max_length_ratio", value, bound, value <= bound, sentence, examples)


def _language(accept: AcceptSettings, news: News) -> Json:
    """The share of the new documents that would have to be in another language for the mix to be that of before."""
    bound, what = accept.max_language_shift, "languages of the new documents"
    says = [
        sum(one.language is not None for one in some) >= SAYS_LANGUAGE * len(some) for some in (news.before, news.new)
    ]
    kind = "language" if all(says) else "script"
    before, new = ([one for one in some if getattr(one, kind)] for some in (news.before, news.new))
    if (found := min(len(new), len(before))) < LEAST:
        return _too_few("max_language_shift", bound, what, found)
    counts = (Counter(getattr(one, kind) for one in some) for some in (before, new))
    shares = [{name: count / some.total() for name, count in some.items()} for some in counts]
    more = {name: share - shares[0].get(name, 0) for name, share in shares[1].items()}
    value = sum(max(0.0, shift) for shift in more.values())
    name = max(more, key=lambda one: (more[one], one))
    noun = "language" if kind == "language" else "writing system"
    sentence = (
        f"{value:.1%} of the new documents in another {noun}: {name} {shares[0].get(name, 0):.1%} before, "
        f"{shares[1][name]:.1%} of the new"
    )
    examples = [one for one in new if getattr(one, kind) == name]
    return _figure("max_language_shift", value, bound, value <= bound, sentence, examples)
