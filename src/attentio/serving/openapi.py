"""The OpenAPI document of a served run. What a request may hold is read off the checks themselves."""

import json
from importlib.resources import files
from typing import Any

from attentio.runs.changed import asked_change
from attentio.runs.fields import Fields
from attentio.runs.tasks import AnyRun, task_of
from attentio.version import __version__


def openapi(run: AnyRun) -> dict[str, Any]:
    """As a JSON object."""
    task = task_of(run.config)
    fields, of_change = Fields({"text": "a"}), Fields({"text": "a", "place": 0, "how": "erase"})
    task.question(run, fields)
    asked_change(of_change)
    known: dict[str, Any] = json.loads(files("attentio.serving").joinpath("assets", "answers.json").read_text("utf-8"))
    refusals = {status: _reply(text, known["error"]) for status, text in known["refusals"].items()}

    def post(name: str, taken: Fields) -> dict[str, Any]:
        asked: dict[str, Any] = {"type": "object", "properties": taken.known, "additionalProperties": False}
        if taken.required:
            asked["required"] = taken.required
        return {
            "summary": known[name]["summary"],
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {"200": _reply("The answer.", known[name]["answer"]), **refusals},
        }

    gets = {
        path: {"get": {"summary": text, "responses": {"200": {"description": text}}}}
        for path, text in known["get"].items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "attentio", "version": __version__},
        "paths": {
            f"/{task.verb}": {"post": post(task.verb, fields)},
            "/change": {"post": post("change", of_change)},
            **gets,
        },
    }


def _reply(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
