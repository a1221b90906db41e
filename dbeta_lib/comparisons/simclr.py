"""SimCLR (Chen et al., ICML 2020) on ECGs: two changed views of a record find each other.

The encoder is D-BETA's, so the objective alone differs. The head of two layers is for the loss
only; features are read before it (section 4.2 there). Each view goes through all of
`augmentations`, sizes drawn anew by record; which of them help with ECGs is an open question.
"""

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from dbeta_lib import augmentations
from dbeta_lib.batch import Batch
from dbeta_lib.comparisons.base import Comparison, own_generator, zeroed
from dbeta_lib.comparisons.contrast import nt_xent
from dbeta_lib.comparisons.towers import ECGTower
from dbeta_lib.outputs import Output
from dbeta_lib.processes import ALONE, Processes


@dataclass(frozen=True)
class SimCLRSettings:
    """Sizes of the changes, and SimCLR's temperature."""

    temperature: float = 0.1  # of embeddings of length 1
    wander: float = 0.1  # mV, largest baseline wander
    hum: float = 0.05  # mV, largest hum of 50 Hz; a rate of 100 Hz cannot show it
    muscle: float = 0.03  # mV, largest standard deviation of muscle noise
    scale_low: float = 0.8  # smallest factor on the amplitude
    scale_high: float = 1.25  # largest
    shift: float = 0.5  # 0..1 of the record, either way
    lead_dropout: float = 0.3  # 0..1, each lead by itself


class SimCLR(Comparison):
    """D-BETA's ECG encoder, a head, and NT-Xent; reads no text."""

    name = "simclr"
    loss_names = ("nt_xent", "total")
    gathers = True
    Settings = SimCLRSettings

    def _build(self, load_text_weights: bool) -> None:
        self.tower = ECGTower(self.config.ecg)
        width, joint = self.tower.features, self.config.fusion.fusion_width
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, joint))

    def describe(self, ecg: Tensor) -> Tensor:
        return self.tower(ecg)

    def view(self, ecg: Tensor, generator: Generator) -> Tensor:
        """One changed copy of ECGs mV `[B, 12, T]`."""
        s, rate = self.settings, self.sampling_rate
        ecg = augmentations.time_shift(ecg, generator, s.shift)
        ecg = augmentations.scale_amplitude(ecg, generator, s.scale_low, s.scale_high)
        ecg = augmentations.baseline_wander(ecg, rate, generator, s.wander)
        ecg = augmentations.mains_hum(ecg, rate, generator, s.hum)
        ecg = augmentations.muscle_noise(ecg, rate, generator, s.muscle)
        return augmentations.drop_leads(ecg, generator, s.lead_dropout)

    def forward(self, batch: Batch, processes: Processes = ALONE) -> Output:
        """nt_xent, which is the total; the views are drawn from torch's own state."""
        ecg = zeroed(batch.ecg, batch.lead_mask)
        generator = own_generator(ecg.device)
        views = [self.head(self.tower(self.view(ecg, generator))) for _ in range(2)]
        one, other = (processes.gather(view) for view in views)
        loss = nt_xent(one, other, self.settings.temperature)
        return Output({"nt_xent": loss, "total": loss}, {"ecg": one, "ecg_other": other}, {})
