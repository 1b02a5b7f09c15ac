"""packaging/prometheus and packaging/grafana are sound by Prometheus's own judgement, and speak of metrics that there are."""
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "packaging/prometheus/alerts.yml"
DASHBOARD = ROOT / "packaging/grafana/culvert.json"
METRIC = re.compile(r"\b((?:culvert|process)_[a-z0-9_]+)\b")

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: scripts/deps test installs it")


def promtool(*argv):
    done = subprocess.run(["promtool", *map(str, argv)], text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def published():
    """Names of samples and their labels, as docs/metrics.md has them; that is held to the program by a unit test."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}


def expressions():
    """(title, expression) of the dashboard, its variables filled in."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            yield variable["name"], f"count by ({inner.group(2)}) ({inner.group(1)})"


def filled_in(expr):
    expr = re.sub(r"\$__rate_interval", "1m", expr)
    return re.sub(r'"\$\w+"', '".*"', expr)


def check_names(text):
    known = published()
    for selector in re.finditer(METRIC.pattern + r"(?:\{(.*?)\})?", text):
        name, labels = selector.groups()
        assert name in known, name
        for label in re.findall(r"(\w+)\s*[=!]", labels or ""):
            assert label in known[name] | {"job", "instance"}, (name, label)


@needs_promtool
def test_alert_rules_are_sound_and_fire_when_they_should():
    assert "SUCCESS" in promtool("check", "rules", ALERTS)
    assert "SUCCESS" in promtool("test", "rules", ALERTS.with_name("alerts_test.yml"))


def test_every_alert_has_a_test_that_sees_it_fire():
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    tests = ALERTS.with_name("alerts_test.yml").read_text()
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n\s+- exp_labels", tests))
    assert alerts == fired


def test_alerts_and_dashboard_name_metrics_and_labels_that_there_are():
    for expr in re.findall(r"^\s+expr: (.*)$", ALERTS.read_text(), re.M):
        check_names(expr)
    named = [expr for _, expr in expressions()]
    assert len(named) > 30
    for expr in named:
        check_names(expr)
    reasons = set(re.findall(r'return \{"(\w+)", ', (ROOT / "src/base/drop_reason.cpp").read_text()))
    for text in [ALERTS.read_text(), *named]:
        for alternatives in re.findall(r'reason[=!]~"([\w|]+)"', text.replace("\\", "")):
            assert set(alternatives.split("|")) <= reasons, alternatives


@needs_promtool
def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path):
    rules = [{"record": f"expression:{number}", "expr": filled_in(expr)} for number, (_, expr) in enumerate(expressions())]
    assert not any("$" in rule["expr"] for rule in rules)
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", path)
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [{"record": "x", "expr": "sum by ("}]}]}))
    with pytest.raises(AssertionError):
        promtool("check", "rules", path)


def test_the_dashboard_is_one_that_grafana_imports():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "culvert" and dashboard["schemaVersion"] >= 36
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}" and panel["targets"]
