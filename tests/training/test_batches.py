"""Batches: pure functions of (seed, step), whole epochs, shards, leads, negatives that arrive."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dbeta_lib.batch import IGNORED, Batch
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.n3s import RandomNegatives
from dbeta_lib.training.batches import BatchMaker

OF_ALL = ("mlm_places", "mlm_words", "text_places", "text_asked")  # not by record
ROWS = [field.name for field in dataclasses.fields(Batch) if field.name not in OF_ALL]


@pytest.fixture
def make(store, tokenizer, config, table):
    def make(rows=None, source=None, batch_size=8, seed=3, options=None, **overrides):
        rows = store.rows("train") if rows is None else rows
        return BatchMaker(
            store, rows, tokenizer, config(**overrides), source or table,
            batch_size=batch_size, seed=seed, **(options or {}),
        )  # fmt: skip

    return make


def same(a, b):
    a, b = a._tensors(), b._tensors()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_batch_depends_on_seed_and_step_alone(make):
    maker, other = make(), make()
    far = maker[40]
    for step in (0, 40, 7, 41):
        assert same(maker[step], other[step])
    assert same(far, maker(40))
    assert not same(maker[0], maker[1])
    assert not same(maker[0], make(seed=4)[0])
    assert not same(maker[0], make(options={"purpose": "val"})[0])


def test_shapes_types_and_ranges_are_those_of_the_contract(make, store):
    batch = make()[0]
    length = batch.input_ids.shape[1]
    assert batch.ecg.shape == (8, 12, 160) and batch.ecg.dtype == torch.float32
    assert batch.lead_mask.shape == (8, 12) and batch.lead_mask.dtype == torch.bool
    for name in ("input_ids", "attention_mask", "mlm_labels"):
        assert getattr(batch, name).shape == (8, length)
        assert getattr(batch, name).dtype == torch.int64
    assert batch.ecg_noise.shape == (8, 20) and batch.ecg_noise.dtype == torch.float32
    assert batch.ecg_noise.min() >= 0 and batch.ecg_noise.max() < 1
    assert batch.attention_mask.sum(1).max() == length  # the longest text has no padding
    row = store.rows("train")[0]
    everything = [make()[step] for step in range(6)]
    own = torch.cat([b.ecg for b in everything])
    assert any(torch.equal(torch.from_numpy(store.ecg([row])[0]), ecg) for ecg in own)


@pytest.mark.parametrize("batch_size", [5, 8])
def test_every_epoch_holds_each_record_with_a_report_once(make, store, batch_size):
    maker = make(batch_size=batch_size)
    n = len(maker.rows)
    places = np.concatenate([maker.picked(step) for step in range(3 * n)])
    for epoch in range(batch_size):
        assert sorted(places[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert not np.array_equal(places[:n], places[n : 2 * n])
    reports = store.records["report_id"].to_numpy()
    assert (reports[maker.rows] >= 0).all() and maker.left_out == 3
    assert maker.record_ids(0) == [f"r{i}" for i in maker.rows[maker.picked(0)]]


def test_two_ranks_together_are_the_batch_of_one_process(make):
    whole = make()[5]
    halves = [make(options={"rank": rank, "world": 2})[5] for rank in (0, 1)]
    for name in ROWS:
        joined = torch.cat([getattr(half, name) for half in halves])
        assert torch.equal(joined, getattr(whole, name)), name
    for half in halves:  # each divides its words' losses by half of all words
        assert half.mlm_words * 2 == (whole.mlm_labels != IGNORED).sum()
        assert torch.equal(half.mlm_places, half.places())


def test_parts_of_a_batch_hold_each_record_once_and_share_the_count_of_words(make):
    whole = make()[5]
    for parts in (1, 2, 4):
        split = whole.split(parts)
        assert [len(part) for part in split] == [8 // parts] * parts
        for name in ROWS:
            rows = [getattr(part, name) for part in split]
            assert torch.equal(torch.stack(rows, 1).flatten(0, 1), getattr(whole, name)), name
        labels = whole.mlm_labels.flatten()[whole.mlm_places]
        found = torch.cat([part.mlm_labels.flatten()[part.mlm_places] for part in split])
        assert sorted(found.tolist()) == sorted(labels.tolist()) and (labels != IGNORED).all()
        if parts > 1:
            assert all(part.mlm_words * parts == len(labels) for part in split)
    with pytest.raises(ValueError, match="8 records are no multiple of 3"):
        whole.split(3)


def test_processes_that_split_their_slices_pair_the_records_that_one_process_would(make):
    whole = make()[5].split(2)
    halves = [make(options={"rank": rank, "world": 2})[5].split(2) for rank in (0, 1)]
    for part, of_ranks in zip(whole, zip(*halves, strict=True), strict=True):
        joined = torch.cat([half.report_id for half in of_ranks])
        assert torch.equal(joined, part.report_id)
        assert sum(half.mlm_words for half in of_ranks) == part.mlm_words


def test_workers_give_the_batches_of_the_main_process(make):
    maker = make()
    steps = range(3, 9)
    loader = DataLoader(maker, batch_size=None, sampler=steps, num_workers=2)
    for step, batch in zip(steps, loader, strict=True):
        assert same(batch, make()[step])


def test_a_pair_labelled_not_aligned_reaches_the_model_with_another_text(
    make, store, tokenizer, table
):
    """Ids, attention mask and MLM labels all belong to the negative's text."""
    texts = dict(zip(store.records["report_id"], store.records["text"], strict=True))
    maker, seen = make(), set()
    for step in range(20):
        batch = maker[step]
        assert int(8 * 0.5) <= (batch.is_aligned == 0).sum() <= int(8 * 0.5) + 1
        for i in range(8):
            own, given = batch.report_id[i].item(), batch.text_report_id[i].item()
            aligned = bool(batch.is_aligned[i])
            assert (own == given) if aligned else (given in table.candidates(own))
            ids = torch.tensor(tokenizer(texts[given])["input_ids"])
            width = len(ids)
            predicted = batch.mlm_labels[i] != -100
            whole = torch.where(predicted, batch.mlm_labels[i], batch.input_ids[i])
            assert torch.equal(whole[:width], ids)
            assert batch.attention_mask[i].sum() == width and batch.attention_mask[i, :width].all()
            assert not predicted[width:].any() and (batch.input_ids[i, width:] == 0).all()
            seen.add(aligned)
    assert seen == {True, False}


def test_the_released_switch_leaks_only_the_mask_of_the_negative(make):
    released, ours = make(negatives="released", mlm_masking="none"), make()
    differing = 0
    for step in range(10):
        leak, meant = released[step], ours[step]
        wrong = leak.is_aligned == 0
        assert torch.equal(leak.is_aligned, meant.is_aligned)
        assert torch.equal(leak.text_report_id, leak.report_id)  # the text was never replaced
        assert torch.equal(leak.attention_mask.sum(1), meant.attention_mask.sum(1))
        lengths = (leak.mlm_labels != -100).sum(1)  # labels are the ids seen: the text's length
        assert torch.equal(lengths[~wrong], leak.attention_mask.sum(1)[~wrong])
        differing += (lengths[wrong] != leak.attention_mask.sum(1)[wrong]).sum().item()
    assert differing > 0


def test_random_negatives_may_be_the_very_same_text(make, store):
    reports = store.records["report_id"].to_numpy()[store.rows("train")]
    maker = make(source=RandomNegatives(reports[reports >= 0]), negative_fraction=0.9)
    batches = [maker[step] for step in range(30)]
    wrong = [(b.report_id == b.text_report_id)[b.is_aligned == 0] for b in batches]
    assert 0 < torch.cat(wrong).float().mean() < 0.5


def test_leads_are_dropped_independently_and_one_always_stays(make, store):
    maker = make(lead_dropout=0.5, batch_size=32)
    recorded = torch.from_numpy(store.lead_mask())
    for step in range(5):
        batch = maker[step]
        rows = maker.rows[maker.picked(step)]
        assert not (batch.lead_mask & ~recorded[rows]).any()
    kept = torch.cat([maker[step].lead_mask for step in range(40)]).float()
    assert 0.4 < kept.mean() < 0.55
    assert abs(np.corrcoef(kept[:, 2], kept[:, 9])[0, 1]) < 0.1
    hard = torch.cat([make(lead_dropout=0.99)[step].lead_mask for step in range(40)])
    assert (hard.sum(1) >= 1).all() and (hard.sum(1) == 1).float().mean() > 0.8
    assert hard.float().mean(0).gt(0).all()  # not always the same lead
    none = make(lead_dropout=0.0)
    assert torch.equal(none[0].lead_mask, recorded[none.rows[none.picked(0)]])


def test_a_record_is_rolled_whole_by_up_to_the_shift_and_every_shift_comes(make, store):
    still, moved = make(time_shift=0.0), make(time_shift=0.25)
    shifts = []
    for step in range(40):
        given, rolled = still[step].ecg, moved[step].ecg
        for record, other in zip(given, rolled, strict=True):
            (by,) = [s for s in range(-80, 80) if torch.equal(record.roll(s, -1), other)]
            shifts.append(by)
    assert min(shifts) < -35 and max(shifts) > 35 and max(map(abs, shifts)) <= 40  # of 160 samples
    assert len(set(shifts)) > 50
    assert torch.equal(still[0].lead_mask, moved[0].lead_mask)  # no other draw is moved by it


def test_the_first_steps_may_show_records_as_they_are(make, store):
    maker = make(time_shift=0.5, lead_dropout=0.5, options={"plain_steps": 2})
    usual = make(time_shift=0.5, lead_dropout=0.5)
    recorded = torch.from_numpy(store.lead_mask())
    for step in (0, 1):
        batch, rows = maker[step], maker.rows[maker.picked(step)]
        assert torch.equal(batch.ecg, torch.from_numpy(store.ecg(rows)))
        assert torch.equal(batch.lead_mask, recorded[rows])
        assert torch.equal(batch.input_ids, usual[step].input_ids)  # texts are as they would be
    assert same(maker[2], usual[2])


def test_processes_shift_their_records_as_one_process_would(make):
    whole = make(time_shift=0.5)[3].ecg
    halves = [make(time_shift=0.5, options={"rank": r, "world": 2})[3].ecg for r in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)


def test_bad_input_is_named(make, store):
    with pytest.raises(UsageError, match=r"160 samples at 100 Hz.*320 at 100 Hz"):
        make(samples=320)
    with pytest.raises(UsageError, match=r"160 samples at 100 Hz.*160 at 500 Hz"):
        make(sampling_rate=500)
    with pytest.raises(UsageError, match="no multiple of 3 process"):
        make(options={"world": 3})
    with pytest.raises(UsageError, match="more than the 41 records"):
        make(batch_size=42)
    without = np.flatnonzero(store.records["report_id"] < 0)
    with pytest.raises(DBetaError, match="has a report"):
        make(rows=without)


NOISES = {
    "baseline_wander": 0.2, "muscle_noise": 0.1, "amplitude_scaling": 1.5,
}  # fmt: skip


@pytest.mark.parametrize("name", NOISES)
def test_each_change_of_the_ecg_reaches_the_batch_and_nothing_else_of_it(make, name):
    plain, maker = make(lead_dropout=0.0), make(lead_dropout=0.0, **{name: NOISES[name]})
    before, after = plain[2], maker[2]
    present = (before.ecg != 0).any(dim=2)
    assert ((before.ecg != after.ecg).any(dim=2) == present).all()  # absent leads stay zeros
    for field in ROWS[1:]:
        assert torch.equal(getattr(before, field), getattr(after, field)), field
    assert same(after, make(lead_dropout=0.0, **{name: NOISES[name]})[2])
    assert not torch.equal(after.ecg - before.ecg, maker[3].ecg - plain[3].ecg)
    quiet = make(options={"plain_steps": 3}, lead_dropout=0.0, **{name: NOISES[name]})
    assert torch.equal(quiet[2].ecg, before.ecg) and not torch.equal(quiet[3].ecg, plain[3].ecg)


def test_changes_of_two_ranks_are_those_of_one_process(make):
    whole = make(muscle_noise=0.1, amplitude_scaling=1.5)[5]
    options = [{"rank": rank, "world": 2} for rank in (0, 1)]
    halves = [make(options=o, muscle_noise=0.1, amplitude_scaling=1.5)[5] for o in options]
    assert torch.equal(torch.cat([half.ecg for half in halves]), whole.ecg)


def test_a_subset_of_leads_is_drawn_for_each_record_before_others_are_dropped(make, store):
    present = torch.from_numpy(store.lead_mask())
    maker = make(lead_subsets=("2", "V1,V2,V3"), lead_dropout=0.0)
    limb, chest = torch.zeros(12, dtype=torch.bool), torch.zeros(12, dtype=torch.bool)
    limb[:2], chest[6:9] = True, True
    drawn = set()
    for step in range(6):
        own = present[maker.rows[maker.picked(step)]]
        for kept, there in zip(maker[step].lead_mask, own, strict=True):
            fits = [torch.equal(kept, there & leads) for leads in (limb, chest)]
            assert any(fits)
            drawn.add(fits.index(True))
    assert drawn == {0, 1}
    fewer = make(lead_subsets=("2",), lead_dropout=0.5)[0].lead_mask
    assert fewer.any(dim=1).all() and (fewer & ~limb).sum() == 0 and (fewer.sum(1) == 1).any()
    single = make(lead_subsets=("aVF",), lead_dropout=0.0)
    masks = torch.cat([single[step].lead_mask for step in range(8)])
    own = present[np.concatenate([single.rows[single.picked(step)] for step in range(8)])]
    lacking = ~own[:, 5]
    assert lacking.any() and torch.equal(masks[lacking], own[lacking])  # keeps all of its own
