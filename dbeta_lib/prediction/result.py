"""What a model says of one recording, and how that is put in words."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

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
            told.append(f"Higher than: how many of {self.reference.who} score lower.")
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
    neighbours: record, cosine, labels, report, row of the store's nearest ECGs, or None.
    """

    given: Given
    about: About
    lead_mask: np.ndarray = field(repr=False)
    features: np.ndarray = field(repr=False)
    scores: pd.DataFrame
    neighbours: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        """Of the file, or "array"."""
        return self.given.name

    @property
    def spoilt(self) -> tuple[str, ...]:
        """Names of the findings that make scores wrong."""
        return tuple(f.name for f in self.given.findings if f.spoils)

    def warnings(self) -> list[str]:
        """What lessens the scores of this very recording, a sentence each."""
        told = []
        if self.spoilt:
            told.append(f"Mend this first, it spoils scores: {', '.join(self.spoilt)}.")
        missing = [name for name, present in zip(LEADS, self.lead_mask) if not present]
        if missing:
            told.append(f"Without {' '.join(missing)} expect less than the AUCs say.")
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
            lines.append("  Nothing in it would spoil scores.")
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
        """The scores with the record's name in front: what is written as CSV."""
        table = self.scores.drop(columns="in words")
        table.insert(0, "record", self.name)
        return table


def summary(prediction: Prediction, classes: int) -> str:
    """One line of a folder's list: the name, what spoils it, and the foremost classes."""
    marked = f"X {', '.join(prediction.spoilt)}: " if prediction.spoilt else "  "
    foremost = [
        f"{row['class']} {row['score']:.2f}" + (f" ({row['rank']:.0%})" if known else "")
        for row, known in zip(
            prediction.scores.head(classes).to_dict("records"), prediction.scores["rank"].notna()
        )
    ]
    return marked + printable(f"{prediction.name}: {', '.join(foremost)}")


def summary_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """A row a recording: name, findings, and the score of each class in the order of the task."""
    rows = []
    for each in predictions:
        scores = each.scores.set_index("class")["score"].map("{:.2f}".format)
        found = ", ".join(finding.name for finding in each.given.findings)
        classes = {name: scores[name] for name in each.about.questions.texts}
        rows.append({"record": each.name, "findings": found} | classes)
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
