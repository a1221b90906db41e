"""What a model says of one recording, and how that is put in words."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dbeta_lib.data.signals import SECONDS
from dbeta_lib.evaluation.results import Result
from dbeta_lib.leads import LEADS
from dbeta_lib.prediction.inputs import Given
from dbeta_lib.prediction.known import Reference
from dbeta_lib.prediction.page import body, page
from dbeta_lib.prediction.questions import Questions
from dbeta_lib.prediction.words import NOTICE, plain_table
from dbeta_lib.reporting.figures import Chart
from dbeta_lib.reporting.html_page import printable

_SIMILARITY = (
    "A score is a similarity, no probability: it orders ECGs within one class, and says nothing "
    "across classes."
)
_DOMAIN = {
    "in-domain": "pre-training read the training records of this very data set, so expect less of "
    "ECGs from elsewhere",
    "out-of-domain": "pre-training had read none of this data set",
    "not known": "whether pre-training had read it is not known",
    "untrained": "by a model that was not trained",
}


@dataclass(frozen=True)
class About:
    """Who answers, what is asked, and what is known of such answers.

    name: of the model. trained: a sentence on its training, "" where none is known. result: the
    record that measured these questions. reference: where scores usually are.
    """

    name: str
    trained: str
    questions: Questions
    result: Result | None = None
    reference: Reference | None = None

    @property
    def asked(self) -> str:
        """`"Asked for super, worded ensemble de+en."`"""
        task, wording = self.questions.task, self.questions.wording
        return f"Asked for {task}, worded {wording}." if task else f"Asked {wording}."

    def sentences(self) -> list[str]:
        """What a reader must know of the table of scores."""
        told = [_SIMILARITY]
        if self.reference:
            who = f"{self.reference.who}, {self.reference.shape}"
            told.append(f"Higher than: how many of {who}, score lower.")
        if self.result:
            told.append(
                "AUC: the chance that an ECG with the finding scores higher than one without; "
                "where its interval reaches 0.5 the model is guessing. Measured on "
                f"{self.result.n:,} test ECGs of {self.result.data} with "
                f"{len(LEADS)} leads: {_DOMAIN[self.result.domain]}."
            )
        else:
            told.append("How well these scores tell the classes has not been measured.")
        return told


@dataclass(frozen=True)
class Prediction:
    """One recording's answer.

    lead_mask: bool `[12]`, what the model was given. features: float32 `[D]`. scores: a row a
    class: class, in words, score, rank (0..1), auc, low, high, positives; NaN = not known.
    neighbours: record, cosine, labels, report, row of the store's nearest ECGs, or None. is_seen:
    whether this very recording, at the model's rate, is known to have trained the model.
    """

    given: Given
    about: About
    lead_mask: np.ndarray = field(repr=False)
    features: np.ndarray = field(repr=False)
    scores: pd.DataFrame
    neighbours: pd.DataFrame | None = None
    is_seen: bool = False

    @property
    def name(self) -> str:
        """Of the file, or "array"."""
        return self.given.name

    @property
    def spoilt(self) -> tuple[str, ...]:
        """Names of the findings that make scores wrong."""
        return tuple(f.name for f in self.given.findings if f.spoils)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the leads that the model was not given."""
        return tuple(name for name, present in zip(LEADS, self.lead_mask) if not present)

    @property
    def is_whole(self) -> bool:
        """Whether the model was given twelve leads of ten seconds."""
        return not self.missing and not self.given.is_short

    def verdict(self) -> str:
        """What is said where nothing was found."""
        if self.missing:
            return (
                "No fault was found in what is there, but "
                f"{len(self.missing)} of {len(LEADS)} leads are missing, which changes scores."
            )
        what = f"its first {SECONDS} s" if self.given.is_part else "it"
        return f"Nothing in {what} would spoil scores."

    def warnings(self) -> list[str]:
        """What lessens the scores of this very recording, a sentence each."""
        told = []
        if self.spoilt:
            told.append(f"Mend this first, it spoils scores: {', '.join(self.spoilt)}.")
        if self.missing:
            auc = ", with which the AUCs were measured" if self.about.result else ""
            names = " ".join(self.missing)
            told.append(f"Without {names} expect less than with all {len(LEADS)} leads{auc}.")
        if self.given.is_short:
            told.append(
                f"Only {self.given.seconds:.1f} s of {SECONDS} were recorded; the zeros that fill "
                "the rest move the scores, some by much."
            )
        if not self.is_whole and self.about.reference:
            others = f"{self.about.reference.who}, {self.about.reference.shape}"
            told.append(f"'Higher than' compares it with {others}; read it with care.")
        if self.is_seen:
            told.append("The model was trained on this very recording; expect less of new ones.")
        return told

    def figure(self) -> Chart:
        """The first ten seconds on ECG paper."""
        from dbeta_lib.reporting.ecg_paper import draw_ecg  # matplotlib's fonts take a moment

        recording = self.given.recording
        return draw_ecg(
            recording.ecg, recording.sampling_rate, lead_mask=recording.lead_mask, title=self.name
        )

    def table(self) -> pd.DataFrame:
        """The scores as they are shown: rank in %, AUC with its interval; unknown columns left."""
        return shown(self.scores, self.about)

    def text(self) -> str:
        """For the terminal, a page."""
        lines = [printable(self.name)]
        lines += [f"  {what:<14} {printable(value)}" for what, value in self.given.facts()]
        for finding in self.given.findings:
            lines.append(f"{'X' if finding.spoils else '!'} {finding}")
        if not self.given.findings:
            lines.append(f"{' ' if self.is_whole else '!'} {self.verdict()}")
        lines += ["", f"Scores of {printable(self.about.name)}"]
        lines += [printable(self.about.asked), *[self.about.trained] * bool(self.about.trained)]
        lines += ["", plain_table(self.table()), "", *self.warnings(), *self.about.sentences()]
        if self.neighbours is not None:
            lines += ["", "Nearest ECGs of the store, by the cosine of their features:"]
            frame = self.neighbours.drop(columns="row")
            frame["report"] = frame["report"].str.slice(0, 60)
            lines.append(plain_table(frame))
        return "\n".join([*lines, "", NOTICE])

    def html(self) -> str:
        """One page that needs no other file; everything from the recording is escaped."""
        return page(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the page's body without the ECG."""
        return body(self, with_ecg=False, level=4)

    def without_signal(self) -> "Prediction":
        """The same without the samples: of a folder's many recordings they are not kept."""
        recording = self.given.recording
        hollow = dataclasses.replace(recording, samples=recording.samples[:, :0])
        return dataclasses.replace(self, given=dataclasses.replace(self.given, recording=hollow))

    def rows(self) -> pd.DataFrame:
        """What is written as CSV: the scores, in front record, leads (how many), seconds."""
        table = self.scores.drop(columns="in words")
        front = {"record": self.name, "leads": int(self.lead_mask.sum())}
        front["seconds"] = round(self.given.seconds, 3)
        for place, (head, value) in enumerate(front.items()):
            table.insert(place, head, value)
        return table


def summary_key(about: About) -> str:
    """What stands in a folder's list."""
    ranks = "; in brackets how many of these ECGs score lower" if about.reference else ""
    return f"A line a recording: what it has of 12 leads and 10 s, foremost classes, scores{ranks}."


def summary(prediction: Prediction, classes: int) -> str:
    """One line of a folder's list: what spoils it, name, what is missing, the foremost classes."""
    marked = f"X {', '.join(prediction.spoilt)}: " if prediction.spoilt else "  "
    foremost = [
        f"{row['class']} {row['score']:.2f}" + (f" ({row['rank']:.0%})" if known else "")
        for row, known in zip(
            prediction.scores.head(classes).to_dict("records"), prediction.scores["rank"].notna()
        )
    ]
    named = ", ".join([prediction.name, *_remarks(prediction)])
    return marked + printable(f"{named}: {', '.join(foremost)}")


def _remarks(prediction: Prediction) -> list[str]:
    """`["6 of 12 leads", "5.0 s", "trained on"]`, of a whole new recording nothing."""
    there = len(LEADS) - len(prediction.missing)
    told = [f"{there} of {len(LEADS)} leads"] if prediction.missing else []
    told += [f"{prediction.given.seconds:.1f} s"] * prediction.given.is_short
    return told + ["trained on"] * prediction.is_seen


def summary_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """A row a recording: name, leads, seconds, findings, scores in the order of the task."""
    rows = []
    for each in predictions:
        scores = each.scores.set_index("class")["score"].map("{:.2f}".format)
        found = ", ".join(finding.name for finding in each.given.findings)
        classes = {name: scores[name] for name in each.about.questions.texts}
        row = {"record": each.name, "leads": str(int(each.lead_mask.sum()))}
        row |= {"seconds": f"{each.given.seconds:.1f}", "findings": found}
        rows.append(row | classes)
    return pd.DataFrame(rows)


def shown(scores: pd.DataFrame, about: About) -> pd.DataFrame:
    """A table of scores for reading."""
    out = scores[["class", "in words", "score"]].copy()
    if not about.questions.names:
        out = out.drop(columns="in words")
    out["score"] = scores["score"].map("{:.2f}".format)
    if about.reference:
        out["higher than"] = scores["rank"].map("{:.0%}".format)
    if about.result:
        columns = zip(scores["auc"], scores["low"], scores["high"])
        out["AUC [95 %]"] = [_auc(*one) for one in columns]
    return out


def _auc(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "–"
    guessed = "" if low > 0.5 else ", worse than guessing" if high < 0.5 else ", guessing"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]{guessed}"
