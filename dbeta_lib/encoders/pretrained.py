"""Parts of a published text encoder: from a folder, from the hub's cache, or from the hub.

Disk before hub, and the hub only where it answers: asking one that does not costs half a minute of
retries for each file. What is absent is an `EncoderAbsent`; what is there and cannot be read is
another error, so that nobody looks on the hub for what is broken here.
"""

import textwrap
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer

from dbeta_lib.errors import DBetaError, EncoderAbsent

_BROKEN = (ValueError, ImportError, RuntimeError, SafetensorError)  # of files that are there
PATIENCE = 5  # seconds that the hub has for an answer; it is asked once a minute at most


def pretrained(cls: type, name_or_folder: str, **options: Any) -> Any:
    """`cls.from_pretrained` of a folder or a hub name.

    Raises EncoderAbsent naming the alternatives where neither disk nor hub has it, DBetaError where
    it is there and cannot be read.
    """
    folder = Path(name_or_folder)
    is_path = folder.is_absolute() or name_or_folder.startswith(".") or folder.is_dir()
    if is_path:
        _check_folder(folder, cls)
    options = {"trust_remote_code": False, **options} if cls is AutoConfig else options
    try:
        return cls.from_pretrained(name_or_folder, local_files_only=True, **options)
    except (OSError, *_BROKEN) as error:
        # An absent file of a hub name is an OSError; of a folder everything is there or broken.
        if is_path or not isinstance(error, OSError):
            raise _unreadable(name_or_folder, error) from error
    try:
        if hub_answers():
            return cls.from_pretrained(name_or_folder, **options)
        why = "the hub does not answer"
    except OSError as error:
        why = _short(error)
    except _BROKEN as error:
        raise _unreadable(name_or_folder, error) from error
    raise EncoderAbsent(f"neither this disk nor the hub has '{name_or_folder}' ({why}); {_REMEDY}")


def hub_answers() -> bool:
    """Whether the hub can be reached; never where HF_HUB_OFFLINE says not to try."""
    if constants.HF_HUB_OFFLINE:
        return False
    return _answers(constants.ENDPOINT, int(time.monotonic() // 60))


@cache
def _answers(endpoint: str, minute: int) -> bool:
    """One attempt; `minute` makes it be tried again later."""
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return True
    except urllib.error.HTTPError as error:  # it answers, whatever it thinks of the address
        return error.code < 500
    except (OSError, ValueError):
        return False


_REMEDY = (
    "give a local folder with its files, download it where there is a network (hf download), or "
    "leave text_model empty to train a small encoder on the reports"
)


def _check_folder(folder: Path, cls: type) -> None:
    if not folder.is_dir():
        raise EncoderAbsent(f"{folder} is not there, so it holds no text encoder; {_REMEDY}")
    if cls is not AutoTokenizer and not (folder / "config.json").exists():
        raise EncoderAbsent(f"{folder} holds no text encoder (no config.json); give another folder")


def _unreadable(name_or_folder: str, error: Exception) -> DBetaError:
    """DeBERTa-v3 is published with a sentencepiece file alone, which needs a package of its own."""
    return DBetaError(
        f"{name_or_folder} is there and cannot be read as a text encoder: {_short(error)}; "
        "where its tokenizer is a sentencepiece file (DeBERTa-v3), pip install sentencepiece helps"
    )


def _short(error: Exception) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 160).rstrip(".")
