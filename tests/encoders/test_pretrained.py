"""Published encoders: disk before hub, an absent one at once, a broken one as what it is."""

import http.server
import threading
import time

import pytest
from huggingface_hub import constants
from transformers import AutoConfig, AutoModel

from dbeta_lib.encoders import pretrained
from dbeta_lib.encoders.text import load_text_model, load_tokenizer
from dbeta_lib.errors import DBetaError, EncoderAbsent


class Answer(http.server.BaseHTTPRequestHandler):
    """Any request gets the status that the server is told."""

    def do_HEAD(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(monkeypatch):
    """`hub(status)` -> a server in the place of the hub; it counts what it is asked."""
    servers = []

    def start(status):
        server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
        server.status, server.asked = status, 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return server

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (503, False)])
def test_a_hub_answers_unless_it_is_out_of_order_and_is_asked_once(hub, status, answers):
    server = hub(status)
    assert [pretrained.hub_answers() for _ in range(3)] == [answers] * 3
    assert server.asked <= 2  # a second one where a minute ended in between


def test_a_hub_that_is_not_there_costs_no_retries(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    started = time.monotonic()
    for load in (load_text_model, load_tokenizer):
        with pytest.raises(EncoderAbsent, match=r"nor the hub has 'org/name' \(the hub does not"):
            load("org/name")
    assert time.monotonic() - started < pretrained.PATIENCE


def test_offline_is_obeyed(hub, monkeypatch):
    server = hub(200)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not pretrained.hub_answers() and server.asked == 0


def test_a_folder_is_read_and_its_weights_too(encoders):
    for name, kind in (("bert", "BertModel"), ("t5", "T5EncoderModel")):
        assert type(load_text_model(str(encoders / name))).__name__ == kind
        assert load_tokenizer(str(encoders / name)).mask_token


def test_a_folder_that_is_absent_or_holds_no_encoder_is_absent(tmp_path):
    with pytest.raises(EncoderAbsent, match="is not there"):
        load_text_model(str(tmp_path / "nowhere"))
    with pytest.raises(EncoderAbsent, match="is not there"):
        load_tokenizer(str(tmp_path / "nowhere"))
    with pytest.raises(EncoderAbsent, match=r"no config\.json"):
        load_text_model(str(tmp_path))


def test_a_damaged_folder_is_there_and_unreadable(encoders, tmp_path):
    (tmp_path / "config.json").write_text((encoders / "bert" / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DBetaError, match="is there and cannot be read") as error:
        load_text_model(str(tmp_path))
    assert not isinstance(error.value, EncoderAbsent)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DBetaError, match="is there and cannot be read"):
        pretrained.pretrained(AutoConfig, str(tmp_path))


def test_a_tokenizer_that_needs_a_package_says_which(encoders, tmp_path, monkeypatch):
    """DeBERTa-v3 is published with `spm.model` alone; sentencepiece may be missing here."""

    def fail(*arguments, **options):  # as transformers does
        raise ValueError("`tiktoken` is required to read a `tiktoken` file.")

    monkeypatch.setattr(AutoModel, "from_pretrained", fail)
    with pytest.raises(DBetaError, match="pip install sentencepiece") as error:
        pretrained.pretrained(AutoModel, str(encoders / "bert"))
    assert not isinstance(error.value, EncoderAbsent)
