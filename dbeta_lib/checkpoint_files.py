"""A model's folder: safetensors, JSON and the tokenizer, through huggingface_hub's mixin."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import ModelHubMixin, snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from dbeta_lib.config import DBetaConfig
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import atomic_write

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer"


class HubFiles(
    ModelHubMixin,
    library_name="dbeta_lib",
    tags=["ecg", "electrocardiogram", "text", "contrastive-learning"],
    license="apache-2.0",
):
    """`save_pretrained`, `from_pretrained` and `push_to_hub` for a model with `.config`."""

    def _save_pretrained(self, save_directory: Path) -> None:
        if self._tokenizer is None and Path(self.config.text.text_model or " ").is_dir():
            self.tokenizer = self.config.text.text_model  # the folder may be gone when it is needed
        with atomic_write(save_directory / WEIGHTS) as temporary:
            save_model(self, str(temporary))
        with atomic_write(save_directory / CONFIG) as temporary:
            temporary.write_text(self.config.to_json() + "\n", encoding="utf-8")
        if self._tokenizer is not None:
            partial = save_directory / f".{TOKENIZER}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            self._tokenizer.save_pretrained(partial)
            shutil.rmtree(save_directory / TOKENIZER, ignore_errors=True)
            partial.rename(save_directory / TOKENIZER)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id,
        revision,
        cache_dir,
        force_download,
        local_files_only,
        token,
        tokenizer=None,
        map_location="cpu",
        **_ignored,
    ):
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(
                snapshot_download(
                    model_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise DBetaError(f"{folder} holds no model ({name} is missing); give its folder")
        config = DBetaConfig.from_json(folder / CONFIG)
        model = cls(config, load_text_weights=False)
        try:
            load_model(model, folder / WEIGHTS, device=str(map_location))
        except (SafetensorError, RuntimeError) as error:
            raise DBetaError(
                f"{folder / WEIGHTS} does not fit {CONFIG} or is damaged: {str(error)[:300]}"
            ) from error
        if tokenizer is None and (folder / TOKENIZER).is_dir():
            tokenizer = folder / TOKENIZER
        if tokenizer is not None:
            model.tokenizer = tokenizer
        return model.to(map_location).eval()
