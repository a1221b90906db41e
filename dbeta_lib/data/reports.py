"""Report texts: the copy the model reads, ids of distinct texts, joins, filters, languages.

The published text is always kept beside (`records.report`). What is done to the model's copy is
conservative: only damage whose repair is unambiguous is repaired.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np


def normalise_report(text: str) -> str:
    """NFC, white space folded to single blanks, lower case."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def join_statements(statements: Iterable[str]) -> str:
    """Machine statements in their order, joined with ". " and ended with "."; "" if there is none.

    Each distinct statement is taken once; white space is folded and a full stop at its end dropped.
    """
    parts = [" ".join(str(part).split()).rstrip(" .") for part in statements if part]
    kept = list(dict.fromkeys(part for part in parts if part))
    return ". ".join(kept) + "." if kept else ""


def enough_words(text: str, min_words: int) -> bool:
    """Whether the text has at least `min_words` words between white space (4 = MERL's filter)."""
    return len(text.split()) >= min_words


def report_ids(texts: Sequence[str]) -> np.ndarray:
    """int64 `[n]`: one id per distinct normalised text, by first appearance; -1 without text."""
    known: dict[str, int] = {}
    normalised = (normalise_report(text) for text in texts)
    return np.array(
        [known.setdefault(text, len(known)) if text else -1 for text in normalised], dtype=np.int64
    )


def duplicate_statistics(texts: Sequence[str]) -> dict:
    """How often each distinct normalised text occurs: what makes random negatives false ones.

    Returns `texts` (n with text), `distinct`, `counts` (int64, descending: the Zipf curve), `top`
    (the ten most frequent, text and count) and `same_pair`: the probability that two records drawn
    at random carry the same text.
    """
    counted = Counter(text for text in map(normalise_report, texts) if text)
    top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    counts = np.array([count for _, count in top], dtype=np.int64)
    total = int(counts.sum())
    pairs = total * (total - 1)
    same = float((counts * (counts - 1)).sum() / pairs) if pairs else 0.0
    return {
        "texts": total, "distinct": len(top), "counts": counts, "top": top[:10], "same_pair": same,
    }  # fmt: skip


# PTB-XL's texts were lower-cased by somebody who left A, O, U with dots and A with ring in upper
# case; many end with the cart's version number and "unbestätigter bericht" (unconfirmed report),
# cut off anywhere; a few letters stand as another code page showed them.
_BOILERPLATE = re.compile(r"\s*\b4\.46,?(?=\s|$)\s*(?:u[\wäÄ]*(?:\s+b[a-z]*)?\s*$)?")
_EDIT = re.compile(r"\bEdit:.*$", re.DOTALL)
_SHARP_S = re.compile("\u00e1")  # 0xE1 is sharp s on DOS page 437
_HASH_UE = re.compile(r"(?<=\bf)#(?=r\b)|#(?=berg)")  # "f#r", "#bergang"
_SWEDISH_7_BIT = str.maketrans("{|}", "äöå")


def repair_ptb_xl(report: str) -> str:
    """The model's copy of a PTB-XL report: what is unambiguously damage or boilerplate is mended.

    The tail "Edit: ..." is left out: the annotators wrote their SCP codes and likelihoods there, so
    it is label, not report. Normalised by `normalise_report` at the end.
    """
    text = _EDIT.sub("", report)
    text = _BOILERPLATE.sub(" ", text)
    text = _SHARP_S.sub("ß", text)
    text = _HASH_UE.sub("ü", text)
    if "}lder" in text:  # Swedish seven-bit letters, known by their form's first word
        text = text.translate(_SWEDISH_7_BIT)
    return normalise_report(text)


_WORDS = {
    "de": """sinusrhythmus lagetyp linkstyp rechtstyp normales ekg sonst unspezifisches abnormes
        abnorm abnormal abnormales infarkt inferiorer anteriorer anteroseptaler septaler lateraler
        hochlateraler anterolateraler inferolateraler alter wahrscheinlich verdacht auf möglich für
        linkshypertrophie rechtshypertrophie rechtsschenkelblock linksschenkelblock unvollständiger
        extrasystole extrasystolen schrittmacher vorhofflimmern vorhofflattern und oder mit der die
        das bei nicht keine kein ist links rechts überdrehter ueberdrehter periphere niederspannung
        mässige amplitudenkriterien ischämie linksbelastung myokardschaden ableitungen ventrikuläre
        supraventrikuläre sinusbradykardie sinustachykardie arrhythmie leitungsstörung befund
        pathologisches grenzbefund qt-verlängerung verlangsamt vom von im ein eine kammer steiltyp
        indifferenztyp bifaszikulärer hemiblock linksanteriorer unbest intraventrikulärer
        intraventrikuläre alt""",
    "en": """sinus rhythm normal ecg otherwise no definite pathology trace only requested the is are
        and or in of with to be may this by at left right axis deviation bundle branch block waves
        wave inverted flat low segments depressed elevated voltages high limb chest leads suggesting
        prolonged interval premature atrial ventricular contraction contractions fascicular anterior
        inferior myocardial infarction heart disease ischaemic ischaemia probable possible uncertain
        age old non-specific consistent findings due pacemaker bradycardia tachycardia fibrillation
        enlargement hypertrophy incomplete borderline noted present suggest suggests arrhythmia""",
    "sv": """sinusrytm sinusbradykardi sinustakykardi normalt ekg avvikande förlopp vänster höger
        skänkelblock kammarhypertrofi ospecifik ospecifikt ospecifika t-förändring t-förändringar
        st-t sänkning såsom vid bör övervägas el-axel sannolikt äldre ålder ej bestämmbar förlängd
        förmaksflimmer förmaksflimmer/-fladder eller belastning inferior infarkt myokardskada lågt
        rytm och på låga hög amplitud amplitudkrit måttliga möjlig möjligen extrasystoli arytmi
        supraventrikulära ventrikulära extraslag i övrigt grenstatus patologiskt ischemi
        svårbestämmbar p-våg elektrisk lätt digitalispåverkan extrem""",
}
_TOKEN = re.compile(r"[^\W\d_]+(?:[-/][^\W\d_]+)*")


def detect_language(text: str) -> str:
    """'de', 'en', 'sv' or 'unknown' of a normalised ECG report.

    The language whose list of frequent report words has the most of the text's words wins; a draw
    or no hit at all is 'unknown'. The lists are short and of this field: no general detector is
    right on texts of two or three words.
    """
    words = _TOKEN.findall(text)
    hits = {
        language: sum(word in listed for word in words) for language, listed in _word_sets().items()
    }
    best = max(hits.values())
    winners = [language for language, n in hits.items() if n == best]
    return winners[0] if best and len(winners) == 1 else "unknown"


@functools.cache
def _word_sets() -> dict[str, frozenset[str]]:
    """Each language's words, without those that stand in more than one list."""
    lists = {language: Counter(set(words.split())) for language, words in _WORDS.items()}
    seen = sum(lists.values(), Counter())
    return {
        language: frozenset(word for word in words if seen[word] == 1)
        for language, words in lists.items()
    }
