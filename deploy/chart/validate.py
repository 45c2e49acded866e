"""The chart: linted and rendered by Helm, and each object checked against the schemas of Kubernetes, without a cluster.

pip install '.[charts]'
python deploy/chart/validate.py            check; exit 1 where something is wrong, or a rendered example is stale
python deploy/chart/validate.py --write    write the examples in deploy/chart/rendered
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import yaml

HERE = Path(__file__).parent
CHART, RENDERED = HERE / "exalign", HERE / "rendered"

#: Versions of Kubernetes whose schemas objects must keep to.
VERSIONS = ("1.30", "1.35")

#: Values of each example.
EXAMPLES: dict[str, dict[str, Any]] = {
    "default": {},
    "gpu-and-own-redis": {
        "pools": {"gpu": {"enabled": True, "nodeSelector": {"nvidia.com/gpu.present": "true"}}},
        "redis": {"enabled": False, "url": "rediss://exalign@redis.example:6380", "passwordSecret": "redis-password"},
        "autoscaling": {"queueDepth": 16},
        "allowFrom": [{"namespaceSelector": {"matchLabels": {"team": "faces"}}}],
    },
}

#: Values that must be refused.
WRONG: list[dict[str, Any]] = [
    {"redis": {"enabled": False}},
    {"redis": {"url": "redis://user:password@redis"}},
    {"pools": {"cpu": {"replicas": 0}}},
    {"resumeKeysSecret": ""},
]


def rendered(values: dict[str, Any]) -> str:
    """All objects of the chart, as one file."""
    with helm.Chart.load(str(CHART)) as chart:
        manifests = chart.render(values, name="faces", namespace="faces")
    parts = [text.strip() for _, text in sorted(manifests.items()) if text.strip() and not _.endswith(".tpl")]
    return "# Made by deploy/chart/validate.py --write.\n" + "\n---\n".join(parts) + "\n"


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [one for one in yaml.safe_load_all(text) if one]


def problems(text: str) -> list[str]:
    """What the schemas say against it."""
    found = []
    for one in objects(text):
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as e:
                found.append(f"{one['kind']} {one['metadata']['name']}, Kubernetes {version}: {e}")
    return found


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Check the chart.")
    parser.add_argument("--write", action="store_true", help="write the rendered examples")
    arguments = parser.parse_args()
    found = [str(one) for one in helm.lint(str(CHART), strict=True)["messages"] if one["severity"] > 1]
    for name, values in EXAMPLES.items():
        text, file = rendered(values), RENDERED / f"{name}.yaml"
        found += [f"{name}: {problem}" for problem in problems(text)]
        if arguments.write:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            found.append(f"{file.name} is stale: run deploy/chart/validate.py --write")
        print(f"{name}: {len(objects(text))} objects")
    for values in WRONG:
        try:
            rendered(values)
        except helm.HelmError:
            continue
        found.append(f"taken, and must be refused: {values}")
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
