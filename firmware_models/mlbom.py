"""What went into a bundle, in the form that supply-chain tools read.

Source:
    CycloneDX 1.6, machine-learning bill of materials: https://cyclonedx.org/docs/1.6/json/
"""

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.contracts.manifest import Manifest
from appliance.contracts.record import JsonObject

MEASURED = ("exact", "wrong_acts", "false_refusals")
"""Shares that the model card tells of every set."""


def bill(manifest: Manifest, analysis: JsonObject | None = None) -> JsonObject:
    """The bill of materials of one bundle.

    Args:
        analysis: what was measured (`quantitative`); none where it was not.
    """
    training = manifest.training
    network = manifest.files["model.tflite"]
    parameters_n = manifest.network.parameters_n
    references = [f"data-{number}" for number in range(len(training.data))]
    data: list[JsonObject] = [
        {
            "type": "data",
            "bom-ref": f"data-{number}",
            "name": source.name,
            "hashes": [{"alg": "SHA-256", "content": source.sha256}],
            **({"licenses": [{"license": {"id": source.licence}}]} if source.licence else {}),
            "data": [
                {
                    "type": "dataset",
                    "name": source.name,
                    "contents": {"properties": [{"name": "rows", "value": str(source.rows_n)}]},
                }
            ],
        }
        for number, source in enumerate(training.data)
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": manifest.made_at,
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": manifest.name,
                "version": manifest.version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "hashes": [{"alg": "SHA-256", "content": network.sha256}],
                "modelCard": {
                    "modelParameters": {
                        "approach": {"type": "supervised"},
                        "task": "tool calling by pointing",
                        "architectureFamily": "transformer encoder",
                        "modelArchitecture": f"MiniLM-L6, pointer heads, {parameters_n} parameters, int8",
                        "datasets": [{"ref": reference} for reference in references],
                        "inputs": [{"format": "text and JSON Schemas of tools"}],
                        "outputs": [{"format": "tools, words of the request, options, confidence"}],
                    },
                    **({"quantitativeAnalysis": analysis} if analysis else {}),
                    "considerations": _considerations(manifest),
                },
            },
        },
        "components": [
            {
                "type": "machine-learning-model",
                "bom-ref": "warm-start",
                "name": training.warm_start.name,
                "licenses": [{"license": {"id": training.warm_start.licence}}],
                "hashes": [{"alg": "SHA-256", "content": training.warm_start.sha256}],
            },
            *data,
        ],
        "dependencies": [{"ref": "model", "dependsOn": ["warm-start", *references]}],
    }


def quantitative(results: Sequence[Mapping[str, Any]]) -> JsonObject:
    """What `evaluate` measured, as CycloneDX says it."""
    return {
        "performanceMetrics": [
            {"type": kind, "value": f"{entry[kind]:.4f}", "slice": f"{entry['name']}, {entry['rows_n']} rows"}
            for entry in results
            for kind in MEASURED
        ]
    }


def _considerations(manifest: Manifest) -> JsonObject:
    thresholds = manifest.thresholds
    return {
        "users": ["people who ask a device for something in plain English"],
        "useCases": ["proposing calls of the tools that a device declares; rules of the device decide about them"],
        "technicalLimitations": [
            (
                f"English, a sentence or two, at most {manifest.network.max_tokens} tokens of request and declared"
                " tools in one look"
            ),
            "a value that the request does not contain cannot be an argument, unless it is an option",
            "confidence was fitted on development data of the same making as the training data",
        ],
        "ethicalConsiderations": [
            {
                "name": "it may be wrong and sure of it, or have been made to be",
                "mitigationStrategy": f"acts without a question from {thresholds.act} on, asks from"
                f" {thresholds.confirm}; whatever it proposes is grounded in the words and judged by rules, and a"
                " canary suite is replayed on the device before it decides anything",
            }
        ],
    }
