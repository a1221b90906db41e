"""Preparation and reading at MIMIC's scale, on records of its layout that are made here.

    python benchmarks/prepare_store.py --folder /tmp/scratch --records 42000

Writes `--records` synthetic recordings as MIMIC-IV-ECG has them (12 x 5000 int16 in WFDB format 16,
aVF before aVL, gain 200), prepares a store of them with two workers, reads a sample one by one with
`wfdb.rdsamp` before and after, and does both `--rounds` times: reported are the medians, so that a
moment in which others use the machine decides nothing. Then it reads random batches of 128 from the
store and, in the way of a Dataset that opens WFDB files in `__getitem__`, from the files. The
result goes to benchmarks/results/<day>-prepare-store<LABEL>.json with a page beside it. Needs
120 kB per record twice. The files are read from memory where the system still holds them, in both
ways alike. A folder below /dev/shm leaves the disk out; what a disk adds is its own speed, said
beside.
"""

import argparse
import datetime
import multiprocessing
import os
import resource
import shutil
import threading
import time
from pathlib import Path

import numpy as np
from kept import keep, system

from dbeta_lib.data import prepare
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.synthetic import generate
from dbeta_lib.leads import MIMIC_LEADS, order_to

MIMIC = 800_035  # records of MIMIC-IV-ECG 1.0
RATE, SAMPLES, GAIN = 500, 5000, 200
BATCH = 128
HEADER = "{name} 12 500 5000 12:04:00 22/09/2182\n" + "".join(
    f"{{name}}.dat 16 200.0(0)/mV 16 0 {{first[{i}]}} {{sums[{i}]}} 0 {lead}\n"
    for i, lead in enumerate(MIMIC_LEADS)
)


def write_source(folder: Path, records: int) -> None:
    """The published layout: both tables and files/pNNNN/pNNNNNNNN/sNNNNNNNN/."""
    ecg = generate(200, 3, RATE, seed=1)[0][:, order_to(MIMIC_LEADS)]
    raw = np.rint(ecg.astype(np.float64) * GAIN / 1000).astype("<i2").transpose(0, 2, 1)
    lists, measured = ["subject_id,study_id,file_name,ecg_time,path"], []
    statements = [f"report_{i}" for i in range(18)]
    columns = ["subject_id", "study_id", "cart_id", "ecg_time", *statements]
    columns += ["bandwidth", "filtering", "rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end"]
    columns += ["t_end", "p_axis", "qrs_axis", "t_axis"]
    measured.append(",".join(columns))
    for number in range(records):
        subject, study = 10_000_000 + number // 5, 40_000_000 + number
        path = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        lists.append(f"{subject},{study},{study},2180-07-23 08:44:00,{path}")
        text = f"Sinus rhythm,Finding {number % 1000},Borderline ECG" + "," * 15
        measured.append(
            f"{subject},{study},1,2180-07-23 08:44:00,{text},0.005-150 Hz,60 Hz notch,"
            "659,40,128,170,258,518,81,77,79"
        )
        place = folder / path
        place.parent.mkdir(parents=True)
        turned = np.roll(raw[number % len(raw)], number, axis=0)
        # First samples and checksums differ from record to record, as in published headers.
        sums = turned.sum(axis=0, dtype=np.int16)
        text = HEADER.format(name=study, first=turned[0], sums=sums)
        place.with_suffix(".hea").write_text(text)
        turned.tofile(place.with_suffix(".dat"))
    (folder / "record_list.csv").write_text("\n".join(lists) + "\n")
    (folder / "machine_measurements.csv").write_text("\n".join(measured) + "\n")


class MemoryWatch:
    """Largest resident memory of this process and of each of its children, in MB."""

    def __enter__(self):
        self.largest_worker, self.done = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        task = Path("/proc/self/task")
        while not self.done.wait(0.2):
            for children in task.glob("*/children"):
                for pid in children.read_text().split():
                    self.largest_worker = max(self.largest_worker, _resident_mb(pid))

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.parent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident_mb(pid: str) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 2**20


class Clock:
    """Seconds by the clock and of the processors, children that have ended among them."""

    def __enter__(self):
        self.start = self._now()
        return self

    def __exit__(self, *_):
        self.seconds, self.cpu = (end - start for end, start in zip(self._now(), self.start))

    @staticmethod
    def _now() -> tuple[float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def time_rdsamp(paths: list[Path]) -> np.ndarray:
    """Milliseconds per record of `wfdb.rdsamp`, one by one: by the clock, and of the processor."""
    import wfdb  # here: the workers of a preparation load this file again, and have no use for it

    with Clock() as clock:
        for path in paths:
            wfdb.rdsamp(str(path))
    return 1e3 * np.array([clock.seconds, clock.cpu]) / len(paths)


def measure_preparation(source: Path, dest: Path, workers: int, rounds: int) -> dict:
    """Milliseconds per record of `prepare` and of `wfdb.rdsamp`, and the largest memory."""
    paths = sorted(path.with_suffix("") for path in source.glob("files/p*/p*/s*/*.hea"))
    sample = paths[:: max(1, len(paths) // 1000)]
    ours, one_by_one = [], []
    with MemoryWatch() as memory:
        for _ in range(rounds):
            shutil.rmtree(dest, ignore_errors=True)
            os.sync()  # what the last round left to be written is not this one's
            before = time_rdsamp(sample[::2])
            with Clock() as clock:
                store = prepare("mimic-iv-ecg", source, dest, RATE, workers=workers)
            ours.append(1e3 * np.array([clock.seconds, clock.cpu]) / len(store))
            # Half before and half after: a machine that others use changes its speed.
            one_by_one.append((before + time_rdsamp(sample[1::2])) / 2)
    ours, one_by_one = np.array(ours), np.array(one_by_one)
    times_faster = one_by_one[:, 0] / ours[:, 0]
    (wall, cpu), (their_wall, their_cpu) = np.median(ours, axis=0), np.median(one_by_one, axis=0)
    return {
        "records": len(store), "workers": workers, "ms_per_record": wall,
        "cpu_ms_per_record": cpu, "wfdb_rdsamp_ms_per_record": their_wall,
        "wfdb_rdsamp_cpu_ms_per_record": their_cpu, "times_faster": np.median(times_faster),
        "rounds": {
            "ms_per_record": ours[:, 0].tolist(), "times_faster": times_faster.tolist(),
            "wfdb_rdsamp_ms_per_record": one_by_one[:, 0].tolist(),
        },
        "hours_for_mimic": wall * MIMIC / 3.6e6, "peak_worker_mb": memory.largest_worker,
        "peak_parent_mb": memory.parent,
    }  # fmt: skip


def disk_speed(folder: Path, megabytes: int = 512) -> float:
    """MB/s of writing one file and waiting until it is on the disk."""
    data, path = os.urandom(1 << 20), folder / "speed"
    start = time.perf_counter()
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return megabytes / seconds


def measure_reading(source: Path, store: SignalStore, batches: int) -> dict:
    """Records per second of random batches, from the store and from the files."""
    draw = np.random.default_rng(0)
    picks = [draw.integers(len(store), size=BATCH) for _ in range(batches)]
    paths = [str(source / path) for path in store.records["source"]]
    start = time.perf_counter()
    for rows in picks:
        store.ecg(rows)
    from_store = batches * BATCH / (time.perf_counter() - start)
    import wfdb

    start = time.perf_counter()
    few = picks[: max(1, batches // 20)]
    for rows in few:
        np.stack([wfdb.rdsamp(paths[row])[0].T.astype(np.float32) for row in rows])
    from_files = len(few) * BATCH / (time.perf_counter() - start)
    return {
        "store_gb": store.signals.nbytes / 1e9, "batch": BATCH, "store_records_per_s": from_store,
        "wfdb_records_per_s": from_files, "times_faster": from_store / from_files,
    }  # fmt: skip


def page(found: dict) -> str:
    """The result as Markdown."""
    made, read = found["preparation"], found["reading"]
    rounds = made["rounds"]["times_faster"]
    return f"""# Preparing and reading a store of MIMIC's layout

`python benchmarks/prepare_store.py --records {made["records"]}`, {found["day"]}, {found["machine"]}

| | this kit | wfdb.rdsamp, one by one | |
|---|---:|---:|---:|
| preparation, ms per record ({made["workers"]} workers) | {made["ms_per_record"]:.2f} \
| {made["wfdb_rdsamp_ms_per_record"]:.2f} | {made["times_faster"]:.1f} times faster |
| random batches of {read["batch"]}, records/s | {read["store_records_per_s"]:,.0f} \
| {read["wfdb_records_per_s"]:,.0f} | {read["times_faster"]:.0f} times faster |

{made["records"]:,} records, a store of {read["store_gb"]:.1f} GB. Largest memory: \
{made["peak_worker_mb"]:,.0f} MB in a worker, {made["peak_parent_mb"]:,.0f} MB in the process that \
writes. MIMIC-IV-ECG's {MIMIC:,} records at {made["ms_per_record"]:.2f} ms each: \
{made["hours_for_mimic"]:.1f} hours on this machine; n shards on n such machines take the n-th part.
The folder takes {made["disk_mb_per_s"]:,.0f} MB/s, so that writing the store alone is \
{1e3 * 0.12 / made["disk_mb_per_s"]:.2f} ms per record.
Medians of {len(rounds)} rounds, times faster in each: {", ".join(f"{r:.1f}" for r in rounds)}. \
Processor time, which others on the machine change less: {made["cpu_ms_per_record"]:.2f} ms per \
record in all processes, `rdsamp` {made["wfdb_rdsamp_cpu_ms_per_record"]:.2f} ms.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="scratch; emptied at the end")
    parser.add_argument("--records", type=int, default=42_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--label", default="", help="follows the result's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    scratch = given.folder / "prepare-store"
    if scratch.exists():
        parser.error(f"{scratch} is there; remove it or name another folder")
    source = scratch / "mimic-iv-ecg"
    try:
        # In a process of its own, so that its memory is not taken for that of the preparation.
        making = multiprocessing.get_context("spawn").Process(
            target=write_source, args=(source, given.records)
        )
        making.start()
        making.join()
        os.sync()  # a download has long reached the disk
        made = measure_preparation(source, scratch / "store", given.workers, given.rounds)
        made["disk_mb_per_s"] = disk_speed(scratch)
        read = measure_reading(source, SignalStore.open(scratch / "store"), given.batches)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    day = datetime.date.today().isoformat()
    machine = system()
    found = {"day": day, "machine": machine, "preparation": made, "reading": read}  # fmt: skip
    path = given.out / f"{day}-prepare-store{given.label}.json"
    keep(path, found, page(found))


if __name__ == "__main__":
    main()
