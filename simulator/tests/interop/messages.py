"""Reads messages, one JSON object a line ({"topic", "payload"}), with the models, schemas and rules of vda5050-sdk (MIT)."""

import json
import sys

from vda5050.domain.order.validation import order_structure_errors
from vda5050.model import Connection, Factsheet, InstantActions, Order, State, Visualization
from vda5050.serialization.codec import decode
from vda5050.validation.schema_validator import SchemaValidator

MODELS = {
    "order": Order,
    "instantActions": InstantActions,
    "state": State,
    "visualization": Visualization,
    "connection": Connection,
    "factsheet": Factsheet,
}

validator = SchemaValidator()
count = {name: 0 for name in MODELS}
bad = []
for line in sys.stdin:
    message = json.loads(line)
    topic, payload = message["topic"], message["payload"]
    count[topic] += 1
    bad += [f"{topic}: {problem}" for problem in validator.errors(topic, payload)]
    try:
        read = decode(payload, MODELS[topic])
    except Exception as error:  # whatever it does not take
        bad.append(f"{topic}: {error}")
        continue
    if topic == "order":
        bad += [f"order: {problem}" for problem in order_structure_errors(read)]
print(json.dumps(count))
for problem in bad[:20]:
    print(problem, file=sys.stderr)
sys.exit(1 if bad else 0)
