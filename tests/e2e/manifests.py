"""What is shipped in `deploy`, read; and what Kubernetes says of kinds that do not come with it."""

import yaml

from process import ROOT

DEPLOY = ROOT / "deploy"


def kubernetes() -> list[dict]:
    """All objects of the manifests."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def _object(needed: dict, **optional) -> dict:
    return {"type": "object", "properties": needed | optional, "required": list(needed), "additionalProperties": False}


def _custom(api_version: str, kind: str, spec: dict) -> dict:
    metadata = _object({"name": {"type": "string"}}, labels={"type": "object"})
    fixed = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
    return _object(fixed | {"metadata": metadata, "spec": spec})


_NAME = {"type": "string", "minLength": 1, "maxLength": 253}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_SELECTOR = _object({"matchLabels": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}})
_LIST = {"type": "array", "minItems": 1}

# The fields that the manifests use of each kind, as its CustomResourceDefinition has them.
CUSTOM = {
    "InferencePool": _custom(
        "inference.networking.k8s.io/v1",
        "InferencePool",
        _object(
            {"selector": _SELECTOR, "targetPorts": _LIST | {"maxItems": 8, "items": _object({"number": _PORT})}},
            endpointPickerRef=_object(
                {"name": _NAME, "port": _object({"number": _PORT})},
                failureMode={"enum": ["FailOpen", "FailClose"]},
            ),
        ),
    ),
    "InferenceObjective": _custom(
        "inference.networking.x-k8s.io/v1alpha2",
        "InferenceObjective",
        _object({"poolRef": _object({"name": _NAME}, group=_NAME)}, priority={"type": "integer"}),
    ),
    "HTTPRoute": _custom(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        _object(
            {
                "parentRefs": _LIST | {"items": _object({"name": _NAME})},
                "rules": _LIST
                | {
                    "items": _object(
                        {"backendRefs": _LIST | {"items": _object({"name": _NAME}, group=_NAME, kind=_NAME)}},
                        matches=_LIST
                        | {
                            "items": _object(
                                {
                                    "path": _object(
                                        {
                                            "type": {"enum": ["Exact", "PathPrefix", "RegularExpression"]},
                                            "value": {"type": "string", "pattern": "^/"},
                                        }
                                    )
                                }
                            )
                        },
                        timeouts=_object({"request": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}}),
                    )
                },
            }
        ),
    ),
    "ServiceMonitor": _custom(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _object(
            {
                "selector": _SELECTOR,
                "endpoints": _LIST
                | {
                    "items": _object(
                        {"port": _NAME, "path": {"type": "string", "pattern": "^/"}},
                        interval={"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                    )
                },
            }
        ),
    ),
}
