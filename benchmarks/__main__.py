"""`make bench`: prints the machine's facts and then one JSON line a case.

FIGURE=name runs one figure; QUICK=1 runs short cases in less than a minute, without the figures that need a browser
unless FIGURE names one. Figures are measured on servers of their own, durable as in production, in a temporary folder.
Compare the ratios: they are of one run on one machine.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from portal.runtime import embedded
from portal.runtime.service import ROOT


def facts() -> dict:
    """What the figures were measured on."""
    with open("/proc/meminfo") as lines:
        memory = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal"))
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "machine": platform.machine(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20, 1),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def figures() -> dict[str, Callable[[bool], Iterator[dict]]]:
    """All figures by name; imported late, when the settings have servers to point to."""
    from benchmarks import event_to_browser, event_to_notice, limits, replay, reported_usage, steering

    return {
        "reported_usage_worker": reported_usage.worker,
        "reported_usage_http": reported_usage.http,
        "limits": limits.measure,
        "steering_decide": steering.decide,
        "steering": steering.measure,
        "event_to_browser": event_to_browser.measure,
        "event_to_notice": event_to_notice.measure,
        "replay": replay.measure,
    }


#: Figures that need a browser take a quarter of a minute each, however short: in a hurry only when named.
LEFT_OUT_IN_A_HURRY = {"event_to_browser", "event_to_notice"}


def main() -> int:
    """Run the wanted figures; a line a case, on standard output."""
    wanted, quick = os.environ.get("FIGURE", ""), os.environ.get("QUICK", "") not in ("", "0")
    print(json.dumps({"figure": "machine", **facts()}), flush=True)
    data_dir = Path(tempfile.mkdtemp(prefix="portal-bench-"))
    data_dir.chmod(0o711)
    try:
        servers = embedded.start(data_dir, durable=True, end_with_parent=True)
        os.environ.update(servers.environment(), DATA_DIR=str(data_dir), SECRET_KEY="only-for-benchmarks")
        os.environ.update(DJANGO_SETTINGS_MODULE="portal.settings", PORTAL_TESTING="1", LOG_LEVEL="WARNING")
        import django

        django.setup()
        known = figures()
        if wanted and wanted not in known:
            print(f"There is no figure “{wanted}”; known are {', '.join(known)}.", file=sys.stderr)
            return 2
        from benchmarks import programs

        with programs.kept() if quick else nullcontext():
            _migrate()
            for name, measure in known.items():
                if name == wanted or not (wanted or (quick and name in LEFT_OUT_IN_A_HURRY)):
                    for result in measure(quick):
                        print(json.dumps({"figure": name, **result}), flush=True)
        servers.stop(at_once=True)
    finally:
        for folder in reversed(embedded.folders(data_dir)):
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _migrate() -> None:
    import subprocess

    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
