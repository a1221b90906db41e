"""All plots under one name: `from dbeta_lib.reporting import plots`.

Each takes plain arrays or tables and returns a `figures.Chart` with the numbers behind it in
`chart.data`; `figures.save(chart, path)` writes picture, drawing and table.
"""

from dbeta_lib.reporting.architecture import plot_architecture
from dbeta_lib.reporting.plots_ablations import (
    plot_contrast_cost,
    plot_costs,
    plot_levels,
    plot_matching,
    plot_verdicts,
)
from dbeta_lib.reporting.plots_annotators import plot_annotators
from dbeta_lib.reporting.plots_encoders import plot_size_gain, plot_text_pairs
from dbeta_lib.reporting.plots_map import plot_map
from dbeta_lib.reporting.plots_occlusion import plot_occlusion
from dbeta_lib.reporting.plots_records import plot_heart_rates, plot_ranking
from dbeta_lib.reporting.plots_reports import plot_cosines, plot_hubs, plot_neighbours, plot_zipf
from dbeta_lib.reporting.plots_results import (
    plot_class_auc,
    plot_label_efficiency,
    plot_prevalence,
    plot_score_bars,
    plot_score_shift,
)
from dbeta_lib.reporting.plots_retrieval import plot_confusion
from dbeta_lib.reporting.plots_signals import plot_lead_check, plot_reconstruction
from dbeta_lib.reporting.plots_training import plot_curves, plot_schedule, plot_similarity

__all__ = [
    "plot_annotators",
    "plot_architecture",
    "plot_class_auc",
    "plot_confusion",
    "plot_contrast_cost",
    "plot_cosines",
    "plot_costs",
    "plot_curves",
    "plot_heart_rates",
    "plot_hubs",
    "plot_label_efficiency",
    "plot_lead_check",
    "plot_levels",
    "plot_map",
    "plot_matching",
    "plot_neighbours",
    "plot_occlusion",
    "plot_prevalence",
    "plot_ranking",
    "plot_reconstruction",
    "plot_schedule",
    "plot_score_bars",
    "plot_score_shift",
    "plot_similarity",
    "plot_size_gain",
    "plot_text_pairs",
    "plot_verdicts",
    "plot_zipf",
]
