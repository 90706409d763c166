"""The server keeps what its OpenAPI document says, for requests that were made from it: right ones and wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from served import served

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
]
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413, 415, 422, 429, 503]
"""


@pytest.mark.parametrize("model", ["dates-luong", "masked-lm"])
def test_requests_made_from_the_document_are_answered_as_it_says(tmp_path: Path, model: str) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    with served(["-m", "attentio", "serve", model, "--page", "--port", "0"], tmp_path) as server:
        asked = [f"http://127.0.0.1:{server.port}/openapi.json", "--checks", ",".join(CHECKS), "--max-examples", "20"]
        ended = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", settings, "run", *asked],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr
        assert "generated" in ended.stdout, "nothing was asked"
        assert server.process.poll() is None
