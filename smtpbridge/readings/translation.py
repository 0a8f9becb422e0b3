"""What the translation met: features of X-MSYS-API in use, warnings, notes, refusals."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from smtpbridge.dialect import kinds
from smtpbridge.ops.metrics import Figure, Kind, Sample
from smtpbridge.relay.translation_tally import FEATURES, TranslationTally


def translation_figures(tally: TranslationTally) -> tuple[Figure, ...]:
    """Return the figures about the translation."""

    def features() -> Iterator[Sample]:
        return (((feature,), getattr(tally, feature)) for feature in FEATURES)

    return (
        Figure(
            "smtpbridge_features",
            Kind.COUNTER,
            "Messages that ask for a feature in X-MSYS-API.",
            ("feature",),
            features,
        ),
        Figure(
            "smtpbridge_translation_warnings",
            Kind.COUNTER,
            "Warnings about messages that were translated.",
            ("kind",),
            _each(kinds.WARNINGS, tally.warnings),
        ),
        Figure(
            "smtpbridge_translation_notes",
            Kind.COUNTER,
            "Notes about messages that were translated.",
            ("kind",),
            _each(kinds.NOTES, tally.notes),
        ),
        Figure(
            "smtpbridge_translation_refusals",
            Kind.COUNTER,
            "Messages that the translation refused.",
            ("kind",),
            _each(kinds.REFUSALS, tally.refusals),
        ),
    )


def _each(all_of_them: Sequence[str], counts: Counter[str]) -> Callable[[], Iterable[Sample]]:
    """Read all of them from the start: an alert on an increase needs the zero before it."""
    return lambda: (((kind,), counts[kind]) for kind in all_of_them)
