"""docs/schema, and whether what a program prints is what they promise."""
import copy
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "docs/schema"


def closed(schema):
    """The same schema, in which an object has no member that it does not name: nothing is printed that is not published."""
    schema = copy.deepcopy(schema)

    def close(node):
        if isinstance(node, dict):
            if "properties" in node and "type" in node:
                node["additionalProperties"] = False
            for child in node.values():
                close(child)
        elif isinstance(node, list):
            for child in node:
                close(child)
    close(schema)
    return schema


def load(name):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def conform(name, text):
    """`text` is one JSON value that docs/schema/NAME.json describes, and all of it; gives the value."""
    jsonschema = pytest.importorskip("jsonschema")
    value = json.loads(text)
    jsonschema.Draft202012Validator(closed(load(name))).validate(value)
    return value
