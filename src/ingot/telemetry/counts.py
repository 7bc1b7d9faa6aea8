"""What ingot counts while it works. Each has a closed set of labels; a test compares them with docs."""

from __future__ import annotations

from ingot.telemetry import metrics

REQUESTS = metrics.Histogram(
    "ingot_request_duration_seconds",
    "Answers of the API by route and status, and how long they took.",
    ("method", "route", "status"),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
BMC_CALLS = metrics.Histogram(
    "ingot_bmc_call_duration_seconds",
    "Commands to BMCs by protocol and outcome (ok, or the kind of error), and how long they took.",
    ("protocol", "outcome"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
POWER_SWEEPS = metrics.Histogram(
    "ingot_power_sweep_duration_seconds",
    "Sweeps of power sync by outcome, and how long each took to ask all BMCs and hear those that answer promptly.",
    ("outcome",),
    (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
RUNS = metrics.Counter(
    "ingot_runs_ended_total", "Runs that ended since this process started, by kind and how.", ("kind", "status")
)
DELIVERIES = metrics.Counter("ingot_webhook_deliveries_total", "Tries to deliver events to webhooks.", ("outcome",))
ALL = (REQUESTS, BMC_CALLS, POWER_SWEEPS, RUNS, DELIVERIES)
