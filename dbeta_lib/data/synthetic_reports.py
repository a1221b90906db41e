"""Reports of the synthetic cohort, worded as the statements that an electrocardiograph prints.

Each finding has several wordings, of which the first are far more frequent than the last (Zipf), so
that, as in MIMIC-IV-ECG (180,000 distinct among 800,000), many records share their text to the
letter. Slight findings are hedged more often, marked ones named so; now and then a statement denies
what is not there. The wording depends on the findings alone, never on the split or the signal.
"""

from dataclasses import dataclass

import numpy as np

from dbeta_lib.data.reports import join_statements
from dbeta_lib.data.synthetic_patients import (
    ANTERIOR,
    BLOCK,
    BRADYCARDIA,
    FIBRILLATION,
    FLUTTER,
    INFERIOR,
    LBBB,
    LEFT_AXIS,
    LONG_QT,
    LVH,
    PAC,
    PVC,
    RBBB,
    SINUS,
    ST_DOWN,
    T_DOWN,
    TACHYCARDIA,
)

_RHYTHM = {
    SINUS: (
        "sinus rhythm",
        "normal sinus rhythm",
        "sinus rhythm, rate normal",
        "regular rhythm",
    ),
    BRADYCARDIA: ("sinus bradycardia", "sinus rhythm, slow rate", "bradycardia, sinus origin"),
    TACHYCARDIA: ("sinus tachycardia", "sinus rhythm, rapid rate", "tachycardia, sinus origin"),
    FIBRILLATION: (
        "atrial fibrillation",
        "atrial fibrillation, irregular rr",
        "afib",
    ),
    FLUTTER: ("atrial flutter", "atrial flutter waves present", "flutter of the atria"),
}
_EXTRA = {
    BLOCK: (
        "first degree av block",
        "1st degree a-v block",
        "prolonged pr interval",
        "long pr",
    ),
    PVC: (
        "premature ventricular contractions",
        "ventricular premature complexes",
        "occasional ventricular ectopic beats",
        "pvc(s)",
    ),
    PAC: (
        "premature atrial contractions",
        "atrial premature complexes",
        "supraventricular ectopic beats",
        "pac(s)",
    ),
}
# "{grade}" becomes "", "mild " ... "marked "; hedged wordings serve slight findings.
_MORPHOLOGY = {
    LBBB: ("left bundle branch block", "complete left bundle branch block", "lbbb"),
    RBBB: ("right bundle branch block", "complete right bundle branch block", "rbbb"),
    LEFT_AXIS: ("left axis deviation", "{grade}left axis deviation", "leftward axis deviation"),
    LVH: (
        "left ventricular hypertrophy",
        "voltage criteria for left ventricular hypertrophy",
        "lvh",
        "high qrs voltage, left ventricular hypertrophy",
    ),
    ANTERIOR: (
        "anterior infarct - age undetermined",
        "anterior myocardial infarction",
        "anteroseptal infarct, old",
        "q waves in v1-v3, anterior infarct",
    ),
    INFERIOR: (
        "inferior infarct - age undetermined",
        "inferior myocardial infarction",
        "old inferior infarct",
        "q waves in ii, iii and avf, inferior infarct",
    ),
    ST_DOWN: (
        "{grade}st depression",
        "st segments depressed, consider ischemia",
        "{grade}inferolateral st depression",
        "st depression in lateral leads",
    ),
    T_DOWN: ("t wave inversion", "{grade}{place} t wave inversion", "{place} t waves inverted"),
    LONG_QT: ("prolonged qt interval", "long qt interval", "{grade}qt prolongation"),
}
_HEDGED = {
    LVH: ("possible left ventricular hypertrophy", "borderline criteria for lvh"),
    ANTERIOR: ("possible anterior infarct - age undetermined", "cannot rule out anterior infarct"),
    INFERIOR: ("possible inferior infarct - age undetermined", "cannot rule out inferior infarct"),
    ST_DOWN: ("slight st depression", "minor st depression, probably nonspecific"),
    T_DOWN: ("nonspecific t wave inversion", "minor t wave inversion"),
    LONG_QT: ("borderline prolonged qt interval",),
}
_STRAIN = ("with repolarization abnormality", "with strain pattern")
_ORDER = (LBBB, RBBB, LEFT_AXIS, LVH, INFERIOR, ANTERIOR, ST_DOWN, T_DOWN, LONG_QT)
_PLACES = ("anterolateral", "lateral", "inferior")
# What a report may deny, and the findings that must then be absent.
_DENIALS = (
    ("no st elevation", (ANTERIOR, INFERIOR)),
    ("no acute st changes", (ANTERIOR, INFERIOR, ST_DOWN, LVH, LBBB)),
    ("no significant q waves", (ANTERIOR, INFERIOR)),
    ("normal qt interval", (LONG_QT, LBBB)),
    ("no intraventricular conduction delay", (LBBB, RBBB)),
)


@dataclass(frozen=True)
class Findings:
    """What one record shows, for its report."""

    rhythm: int
    rate: float  # per minute
    extras: np.ndarray  # bool [3]
    shows: np.ndarray  # bool [9]
    severity: np.ndarray  # [9], 0..1
    strain: bool
    t_place: int  # index into the places of T inversion


def write_report(rng: np.random.Generator, found: Findings) -> str:
    """One report: statements joined with ". ", rhythm first, conclusion last."""
    shown = [m for m in _ORDER if found.shows[m]]
    middle = [_morphology(rng, m, found) for m in shown]
    if len(middle) > 1 and rng.random() < 0.03:
        middle = middle[::-1]
    statements = _rhythm(rng, found) + middle
    if rng.random() < 0.02:
        allowed = [text for text, absent in _DENIALS if not found.shows[list(absent)].any()]
        if allowed:
            statements.append(_pick(rng, allowed))
    if rng.random() < 0.008:
        statements.insert(1, f"ventricular rate {round(found.rate)} bpm")
    return join_statements([*statements, _conclusion(rng, found, bool(shown))])


def _pick(rng: np.random.Generator, texts: tuple[str, ...] | list[str], power: float = 4.2) -> str:
    """One of the texts, the k-th with weight k^-power."""
    weights = np.arange(1, len(texts) + 1) ** -power
    return texts[int(np.searchsorted(np.cumsum(weights)[:-1] / weights.sum(), rng.random()))]


def _rhythm(rng: np.random.Generator, found: Findings) -> list[str]:
    rhythm = _pick(rng, _RHYTHM[found.rhythm])
    if found.rhythm in (FIBRILLATION, FLUTTER) and rng.random() < 0.08:
        if found.rate > 100:
            rhythm += " with rapid ventricular response"
        elif found.rate < 60:
            rhythm += " with slow ventricular response"
    extras = [_pick(rng, _EXTRA[e]) for e in (BLOCK, PVC, PAC) if found.extras[e]]
    if extras and rng.random() < 0.08:
        return [f"{rhythm} with {extras[0]}", *extras[1:]]
    return [rhythm, *extras]


def _morphology(rng: np.random.Generator, finding: int, found: Findings) -> str:
    severity = found.severity[finding]
    hedge = 0.30 if severity < 0.25 else 0.03 if severity < 0.6 else 0.0
    if finding in _HEDGED and rng.random() < hedge:
        return _pick(rng, _HEDGED[finding])
    grade = "mild " if severity < 0.3 else "moderate " if severity < 0.7 else "marked "
    if rng.random() < 0.88:
        grade = ""
    text = _pick(rng, _MORPHOLOGY[finding])
    text = text.format(grade=grade, place=_PLACES[found.t_place])
    if finding == LVH and found.strain and rng.random() < 0.2:
        text += f" {_pick(rng, _STRAIN)}"
    return text


def _conclusion(rng: np.random.Generator, found: Findings, morphology: bool) -> str:
    if not morphology and found.rhythm == SINUS and not found.extras.any():
        return _pick(rng, ("normal ecg", "ecg within normal limits", "no abnormality"))
    if rng.random() < 0.04:
        return ""
    mild = found.severity[found.shows].max(initial=0) < 0.3
    if not morphology and found.rhythm in (SINUS, BRADYCARDIA, TACHYCARDIA):
        return _pick(rng, ("otherwise normal ecg", "borderline ecg", "abnormal ecg"), 2.0)
    return _pick(rng, ("abnormal ecg", "borderline ecg"), 3.0 if mild else 9.0)
