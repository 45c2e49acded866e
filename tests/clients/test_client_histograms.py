"""Latency histograms of a /metrics page. Needs prometheus-client (extra ``demo``)."""

from __future__ import annotations

import math
import sys

import pytest

from exalign_client import MissingExtraError
from exalign_client.commands.histograms import Histogram, draw_histogram, parse_histograms

pytest.importorskip("prometheus_client")

PAGE = """\
# HELP t_seconds Time.
# TYPE t_seconds histogram
t_seconds_bucket{le="0.001",stage="infer"} 0.0
t_seconds_bucket{le="0.002",stage="infer"} 8.0
t_seconds_bucket{le="0.004",stage="infer"} 10.0
t_seconds_bucket{le="+Inf",stage="infer"} 10.0
t_seconds_count{stage="infer"} 10.0
t_seconds_sum{stage="infer"} 0.017
t_seconds_created{stage="infer"} 1.7e+09
t_seconds_bucket{le="0.001",stage="de\\"code"} 0.0
t_seconds_bucket{le="+Inf",stage="de\\"code"} 1.0
other_seconds_bucket{le="+Inf",stage="infer"} 5.0
"""


def test_each_set_of_labels_is_a_histogram() -> None:
    infer, decode = parse_histograms(PAGE, "t_seconds")
    assert (infer.labels, infer.count) == ({"stage": "infer"}, 10)
    assert infer.bounds == (0.001, 0.002, 0.004, math.inf)
    assert infer.counts == (0, 8, 2, 0)
    assert decode.counts == (0, 1)


@pytest.mark.parametrize(("q", "seconds"), [(0.0, 0.001), (0.4, 0.0015), (0.8, 0.002), (0.95, 0.0035), (1.0, 0.004)])
def test_quantiles_are_interpolated_in_their_bucket(q: float, seconds: float) -> None:
    assert parse_histograms(PAGE, "t_seconds")[0].quantile(q) == pytest.approx(seconds)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert parse_histograms(PAGE, "t_seconds")[1].quantile(0.5) == 0.001


def test_a_histogram_without_observations_has_no_quantile() -> None:
    assert math.isnan(Histogram({}, (1.0, math.inf), (0, 0)).quantile(0.5))


def test_bars_are_as_long_as_their_buckets_are_full() -> None:
    lines = draw_histogram("t infer", parse_histograms(PAGE, "t_seconds")[0]).splitlines()
    assert lines[0] == "t infer: 10 observed, p50 1.63 ms, p95 3.5 ms"
    assert [line.count("█") for line in lines[1:]] == [40, 10]
    assert lines[1].split()[:3:2] == ["≤", "ms"]
    assert lines[2].endswith(" 2")


def test_without_the_parser_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.parser", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'exalign\[demo\]'"):
        parse_histograms(PAGE, "t_seconds")
