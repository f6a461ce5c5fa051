"""What went into a bundle, in the form that supply-chain tools read.

Source:
    CycloneDX 1.6, machine-learning bill of materials: https://cyclonedx.org/docs/1.6/json/
"""

from appliance.contracts.manifest import Manifest
from appliance.contracts.record import JsonObject


def bill(manifest: Manifest) -> JsonObject:
    """The bill of materials of one bundle."""
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
