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
import pandas as pd


def normalise_report(text: str) -> str:
    """NFC, white space folded to single blanks, lower case."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def join_statements(statements: Iterable[str]) -> str:
    """Machine statements in their order, joined with ". " and ended with "."; "" if there is none.

    White space is folded, a full stop at a statement's end is not doubled; what is no text (an
    empty field read as NaN) or says nothing is left out.
    """
    parts = [" ".join(part.split()).rstrip(" .") for part in statements if isinstance(part, str)]
    kept = [part for part in parts if part]
    return ". ".join(kept) + "." if kept else ""


def enough_words(text: str, min_words: int) -> bool:
    """Whether the text has at least `min_words` words between white space (4 = MERL's filter)."""
    return len(text.split()) >= min_words


def report_ids(texts: Sequence[str]) -> np.ndarray:
    """int64 `[n]`: one id per distinct normalised text, by first appearance; -1 without text."""
    codes, distinct = pd.factorize(np.asarray(texts, dtype=object))  # by first appearance
    known: dict[str, int] = {}
    normalised = (normalise_report(text) for text in distinct)
    ids = [known.setdefault(text, len(known)) if text else -1 for text in normalised]
    return np.array(ids, dtype=np.int64)[codes] if ids else np.empty(0, np.int64)


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
_BOILERPLATE = re.compile(r"(?:^|\s)4\.4[06]?,?(?:\s+u\w*(?:\s+[br]\w*)?)?\s*$")
_EDIT = re.compile(r"\bEdit:.*$", re.DOTALL)
_SHARP_S = re.compile("\u00e1")  # 0xE1 is sharp s on DOS page 437
_HASH_UE = re.compile(r"(?<=\bf)#(?=r\b)|#(?=berg)")  # "f#r", "#bergang"
_SWEDISH_7_BIT = str.maketrans("{|}", "äöå")


def repair_ptb_xl(report: str) -> str:
    """The model's copy of a PTB-XL report: what is unambiguously damage or boilerplate is mended.

    The tail "Edit: ..." is left out: the annotators wrote their SCP codes and likelihoods there, so
    it is label, not report. Normalised by `normalise_report` at the end.
    """
    text = _BOILERPLATE.sub(" ", _EDIT.sub("", report))
    text = _SHARP_S.sub("ß", text)
    text = _HASH_UE.sub("ü", text)
    if "}lder" in text:  # Swedish seven-bit letters, known by their form's first word
        text = text.translate(_SWEDISH_7_BIT)
    return normalise_report(text)


# Words that two of the languages share in ECG reports (normal, sinus, block, infarkt, anterior) are
# in no list: they say nothing.
_WORDS = {
    "de": """sinusrhythmus sinusrythmus lagetyp linkstyp rechtstyp steiltyp steillage indifferenztyp
        linkslage linksdrehung llt normales sonst unspezifisches unspezifische abnormes abnorm
        abnormales inferiorer anteriorer anteroseptaler septaler lateraler hochlateraler
        anterolateraler inferolateraler wahrscheinlich verdacht auf möglich für linkshypertrophie
        rechtshypertrophie kammerhypertrophie rechtsschenkelblock linksschenkelblock
        links-schenkelblock unvollständiger vollständiger extrasystole extrasystolen schrittmacher
        vorhofflimmern vorhofflattern und oder mit der die das bei nicht keine kein ist links rechts
        überdrehter ueberdrehter periphere niederspannung mässige amplitudenkriterien ischämie
        linksbelastung myokardschaden ableitungen ventrikuläre supraventrikuläre sinusbradykardie
        sinustachykardie arrhythmie leitungsstörung leitungsstoerung pathologisches grenzbefund
        qt-verlängerung verlangsamte verzögerte verzoegerte schlechte fehlende vom von im ein eine
        st-hebung st-senkung t-veränderung t-veraenderungen p-sinistrocardiale p-verbreiterung
        bifaszikulärer hemiblock linksanteriorer unbest alt hoher hohes beschleunigter
        av-knotenrhythmus av-rhythmus rhythmusstreifen kammer vorwiegend intraventrikulärer
        intraventrikuläre nach verschoben ausgeschlossen auszuschliessen""",
    "en": """rhythm ecg otherwise no definite pathology trace only requested the are and or of with
        to be may this by at left right axis deviation bundle branch waves wave inverted flat low
        segments depressed elevated voltages high limb chest leads suggesting prolonged interval
        premature atrial ventricular contraction contractions fascicular myocardial infarction heart
        disease ischaemic ischaemia probable possible uncertain age old non-specific consistent
        findings due pacemaker bradycardia tachycardia fibrillation enlargement hypertrophy
        incomplete borderline noted present suggest suggests arrhythmia""",
    "sv": """sinusrytm sinusbradykardi sinustakykardi sinustachykardi normalt avvikande förlopp
        vänster höger skänkelblock kammarhypertrofi ospecifik ospecifikt ospecifika t-förändring
        t-förändringar sänkning såsom vid bör övervägas el-axel sannolikt gammal äldre ålder ej
        bestämmbar förlängd förmaksflimmer förmaksflimmer/-fladder eller belastning myokardskada
        lågt rytm och på låga hög amplitud amplitudkrit måttliga möjlig möjligen extrasystoli arytmi
        supraventrikulära extraslag övrigt grenstatus patologiskt ischemi svårbestämmbar p-våg
        elektrisk lätt digitalispåverkan extrem myokardaffektion""",
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
