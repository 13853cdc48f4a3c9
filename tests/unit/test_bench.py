"""The benchmarks' provider and their arithmetic, so that a figure can be trusted and the code does not rot."""

import math
import shutil
import sys
import time
from pathlib import Path

import pytest
import requests

from bench import before, harness, memory_cpu, profile, throughput
from bench.__main__ import benchmarks
from bench.provider import Arrival, Provider, phone, text
from smsclick._values.phones import normalize_phone
from smsclick.provider._answers.classification import classify_send
from smsclick.provider.results import Accepted, HttpAnswer
from tests.certificates import Authority
from tests.conftest import StartProcess
from tests.processes import ROOT


def test_the_lean_provider_accepts_each_message_under_an_id_of_its_own(start_process: StartProcess) -> None:
    provider = Provider(start_process)
    form = {"APIKEY": "k", "TELEFONO": phone(7)}
    with requests.Session() as http:
        answers = [
            http.post(f"{provider.base_url}/sendMsg.json", data={**form, "MENSAJE": text(n)}, timeout=60)
            for n in (7, 8, 7)
        ]
        results = [classify_send(HttpAnswer(each.status_code, each.content)) for each in answers]
        assert all(isinstance(each, Accepted) for each in results)
        assert len({each.id_mensaje for each in results if isinstance(each, Accepted)}) == 3
        assert [arrival.number for arrival in provider.arrivals()] == [7, 8, 7]
        assert abs(provider.arrivals()[-1].at - time.time()) < 60

        provider.reset(0.3)
        began = time.monotonic()
        http.post(f"{provider.base_url}/sendMsg.json", data={**form, "MENSAJE": text(9)}, timeout=60)
        assert time.monotonic() - began >= 0.3
        assert provider.count() == 1


def test_every_phone_of_the_benchmarks_is_one() -> None:
    assert [normalize_phone(phone(n)) for n in (0, 99_999, 100_000)] == [phone(0), phone(99_999), phone(0)]


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 51), (0.99, 100), (1, 100)])
def test_a_percentile_is_the_value_that_so_many_are_not_above(share: float, expected: float) -> None:
    assert harness.percentile(range(100, 0, -1), share) == expected


def test_a_ratio_is_computed_round_by_round() -> None:
    # Whatever slows a round down slows both: the median of quotients is 2, of medians it would be 4.
    assert harness.ratio([20, 2, 200], [10, 1, 100]) == 2
    assert math.isnan(harness.ratio([1], []))


def test_the_steady_rate_leaves_start_and_stragglers_out() -> None:
    start, middle, stragglers = [n / 40 for n in range(190)], [10 + n / 100 for n in range(620)], [20.0] * 190
    assert harness.steady_rate([*start, *middle, *stragglers]) == pytest.approx(100)
    assert math.isnan(harness.steady_rate([1.0, 2.0]))


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [([0, 1, 1], "3 requests for 2 of 3"), ([0, 2, 3], "3 requests for 3 of 3"), ([0, 1], "2 of 3")],
)
def test_a_run_that_lost_or_doubled_a_message_is_no_result(arrived: list[int], expected: str) -> None:
    assert throughput.each_once([Arrival(1.5, number) for number in (2, 0, 1)], 3) == [1.5, 1.5, 1.5]
    with pytest.raises(AssertionError, match=expected):
        throughput.each_once([Arrival(1.5, number) for number in arrived], 3)


def test_a_void_run_is_said_and_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "VOID", [])
    tries = iter([1.0, math.nan, 3.0])

    def now_and_then() -> float:
        given = next(tries)
        assert not math.isnan(given), "99 requests for 100 of 100 messages\nand more"
        return given

    def never() -> float:
        raise RuntimeError("nothing arrived")

    found = harness.interleaved({"now and then": now_and_then, "never": never}, 3)
    assert found == {"now and then": [1.0, 3.0]}
    assert harness.VOID.count("never: nothing arrived") == 3
    assert "now and then: 99 requests for 100 of 100 messages" in harness.VOID
    report = harness.Report("demo", (), void=tuple(harness.VOID))
    assert "4 runs are void and not counted: never: nothing arrived" in report.markdown()
    assert harness.Report.read(report.json()) == report


def test_bare_aiohttp_gets_as_many_calls_as_ours_had_in_any_round(monkeypatch: pytest.MonkeyPatch) -> None:
    had = iter([700, 501, 300])
    allowed: list[int] = []

    def ours(_: harness.Place, plan: throughput.Plan) -> throughput.Run:
        return throughput.Run(plan.count, 1, 1, 1, 1, 1, next(had))

    def same(_: harness.Place, plan: throughput.Plan) -> throughput.Run:
        allowed.append(plan.threads)
        return throughput.Run(plan.count, 1, 1, 1, 1, 1, 1)

    monkeypatch.setattr(throughput, "VARIANTS", {"ours": ours, "same_aiohttp": same})
    plan = throughput.Plan(0.2, 100, 2, 0)
    case = throughput.Case(harness.Place(), {"ours": plan, "same_aiohttp": plan})
    with pytest.raises(RuntimeError, match="ours has to run before"):
        case.run("same_aiohttp")
    for _ in range(3):
        case.run("ours")
        case.run("same_aiohttp")
    assert allowed == [350, 350, 350]


def test_the_lean_provider_counts_connections_and_speaks_tls(start_process: StartProcess, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("not run here: TLS: openssl, which makes the certificates, is not on this machine")
    provider = Provider(start_process, Authority(tmp_path))
    form = {"APIKEY": "k", "TELEFONO": phone(7), "MENSAJE": text(7)}
    with requests.Session() as one, requests.Session() as other:
        for http in (one, other, one):
            http.post(f"{provider.tls_base_url}/sendMsg.json", data=form, verify=str(provider.ca_bundle), timeout=60)
        assert (provider.count(), provider.most()) == (3, 2)
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(f"{provider.tls_base_url}/sendMsg.json", data=form, timeout=60)
        provider.reset(0)
        one.post(f"{provider.tls_base_url}/sendMsg.json", data=form, verify=str(provider.ca_bundle), timeout=60)
        assert provider.most() == 1


def test_what_is_measured_runs_from_the_checkout_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = ["celery", "-A", "worker", "worker"]
    usual = ["celery", "-A", "bench.peers.usual", "worker"]
    producer = [sys.executable, "-m", "bench.producer", "backlog", "9"]
    assert harness._placed(worker) == (ROOT, worker)
    monkeypatch.setattr(harness, "CHECKOUT", tmp_path)
    assert harness._placed(worker) == (tmp_path, [str(tmp_path / ".venv/bin/celery"), *worker[1:]])
    assert harness._placed(producer) == (tmp_path, [str(tmp_path / ".venv/bin/python"), *producer[1:]])
    assert harness._placed(usual) == (ROOT, usual)


def test_a_report_finds_its_place_in_the_docs_again_after_json(tmp_path: Path) -> None:
    table = harness.Table("Title", ("what", "ms"), (("ours", "1.5"),))
    chart = harness.Chart("Picture", "bars", "ms", "", {"ours": [1.5, 1.4]})
    report = harness.Report(
        "demo", (table,), (chart,), {"ours": [1.5]}, {"cores": "2", "command": "python -m bench demo"}
    )
    (tmp_path / "demo.json").write_text(report.json())
    read = harness.Report.read((tmp_path / "demo.json").read_text())
    assert read == report
    page = harness.fill("a <!-- bench:demo -->old<!-- /bench:demo --> z", read)
    assert "| ours | 1.5 |" in page
    assert "`python -m bench demo` on cores 2." in page
    assert "![demo](img/demo.png)" in page
    assert "old" not in page
    assert page.startswith("a ")
    assert page.endswith(" z")
    assert harness.fill(page, read) == page
    with pytest.raises(ValueError, match="no place for demo"):
        harness.fill("a page", read)


@pytest.mark.parametrize(("value", "shown"), [(1234.5, "1,230"), (523.4, "523"), (52.12, "52.1"), (0.1234, "0.123")])
def test_a_figure_has_as_many_digits_as_it_deserves(value: float, shown: str) -> None:
    assert harness.number(value) == shown


def test_memory_that_grows_after_the_warm_up_differs_from_memory_that_stays_constant() -> None:
    leak = memory_cpu.memory([(n, 100 + n / 2**20) for n in range(0, 100_000, 100)], 100_000)
    assert leak.per_message == pytest.approx(1, rel=0.01)
    stable = memory_cpu.memory([(n, min(100.0, 50 + n / 100)) for n in range(0, 100_000, 100)], 100_000)
    assert (stable.warm, stable.last, stable.most, stable.per_message) == (100, 100, 100, 0)


def test_a_profile_counts_a_function_once_for_each_sample_that_it_is_in() -> None:
    lines = ["main (a.py:1);work (a.py:2);work (a.py:2) 3", "main (a.py:1);send (x/site-packages/b/c.py:9) 1"]
    own, below = profile.top(lines, 2)
    assert own.rows == (("work (a.py)", "75.0%"), ("send (b/c.py)", "25.0%"))
    assert below.rows == (("main (a.py)", "100.0%"), ("work (a.py)", "75.0%"))


def test_every_benchmark_is_found_by_its_name() -> None:
    assert {"throughput", "latency", "memory_cpu", "quiet_account"} <= set(benchmarks())


def test_figures_of_two_checkouts_come_from_the_samples_that_the_benchmarks_keep() -> None:
    steady = {"steady": 2000.0, "rate": 1800.0, "cpu": 0.7}
    throughput_samples = {"Provider at 0 ms": {"ours": [steady], "bare": [{"steady": 2500.0}]}}
    quiet = {"rate": 50, "milliseconds": {"p50": 11.0, "p99": 22.0}}
    beside = {"rate": 50, "milliseconds": {"p50": 12.0, "p99": 30.0}}
    latency_samples = {"redis": [[quiet, beside, {"rate": 700, "milliseconds": {}}]]}
    assert before.throughput_figures(throughput_samples) == {
        "0 ms: messages/s": 2000.0,
        "0 ms: messages/s over all": 1800.0,
        "0 ms: share of bare requests": 0.8,
        "0 ms: CPU ms a message": 0.7,
    }
    assert before.latency_figures(latency_samples) == {
        "redis at 50/s: p50 ms": 11.0,
        "redis at 50/s: p99 ms": 22.0,
        "redis, others followed: p50 ms": 12.0,
        "redis, others followed: p99 ms": 30.0,
    }


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("3 messages were lost\nof 100", "3 messages were lost"),
        ("a line\nTraceback (most recent call last):\n  File x\nKeyError: 'a'\n", "KeyError: 'a'"),
        ("", "RuntimeError"),
    ],
)
def test_a_void_run_says_why_in_one_line(words: str, reason: str) -> None:
    assert harness.why_void(RuntimeError(words)) == reason
