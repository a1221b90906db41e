"""What pre-training had seen of the data that a result is about: every result says so."""

from dataclasses import dataclass

UNKNOWN = "unknown"  # stands for the name of a store of which no more is known


@dataclass(frozen=True)
class Provenance:
    """What pre-training had seen of the data that a result is about; None where it is not known."""

    stores: tuple[str, ...] = ()  # "name fingerprint" of every store read; empty: no pre-training
    signals_seen: bool | None = False  # ECGs of patients whose records are evaluated
    reports_seen: bool | None = False  # their reports
    train_reports_seen: bool | None = False  # reports of the probe's own training records
    label_derived_reports: bool | None = False  # the reports were written from the labels
    note: str = ""

    @classmethod
    def unknown(cls, note: str, fingerprint: str = "") -> "Provenance":
        """Of a model that was pre-trained on nobody knows what, or on a store without a name."""
        return cls((f"{UNKNOWN} {fingerprint[:12]}".strip(),), None, None, None, None, note)


READS_REPORT = Provenance(note="reads the report, no ECG")  # of a text-only row
