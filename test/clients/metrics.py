"""Reads the metrics with Prometheus' own parser for Python: metrics.py URL"""

import sys
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

with urlopen(sys.argv[1], timeout=10) as answer:
    families = list(text_string_to_metric_families(answer.read().decode()))

own = [family for family in families if family.name.startswith("strongroom_")]
assert own, "no metrics of the service"
assert len({family.name for family in families}) == len(families), "a family stands twice"
samples = 0
for family in families:
    assert family.type in ("counter", "gauge", "histogram"), family
    assert family.documentation, family
    buckets = {}
    for sample in family.samples:
        samples += 1
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            assert sample.value >= buckets.get(labels, 0), f"not cumulated: {sample}"
            buckets[labels] = sample.value
        elif family.type == "histogram" and sample.name.endswith("_count"):
            assert sample.value == buckets[labels], f"not the last bucket: {sample}"
print(f"{len(own)} metrics of the service, {samples} samples: read")
