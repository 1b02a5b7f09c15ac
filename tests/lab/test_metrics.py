"""/metrics of real gateways, read by Prometheus's own programs."""
import json
import re
import urllib.parse
from pathlib import Path

import pytest

from labkit.metrics import OPEN_METRICS, families, need, promtool, samples, scrape, value
from labkit.pair import pair, tables
from labkit.process import Process, wait_for
from labkit.traffic import assert_reaches

ROOT = Path(__file__).resolve().parents[2]
METRICS = {"gateway": {"metrics": "127.0.0.1"}}


@pytest.fixture(scope="module")
def site(shared):
    net = shared.net()
    # a second peer that is never there: its tunnel has its series, too
    a_tables = tables(net.A, net.B, **METRICS)
    a_tables["peer.gone"] = {"address": ["198.51.100.99"], "id": "gone.example", "retransmit_timeout": "200ms", "retransmit_tries": 2}
    a_tables["tunnel.gone"] = {"peer": "gone", "carry": "gre", "device": "cvGone", "address": ["169.254.11.1/30"]}
    b = shared.culvert(net.B.gw, tables(net.B, net.A, start="wait", **METRICS))
    a = shared.culvert(net.A.gw, a_tables)
    a.wait_up("b")
    b.wait_up()
    return net, a, b


def test_promtool_has_nothing_to_say_about_a_scrape(site):
    need("promtool", "curl")
    _, a, _ = site
    text = scrape(a)
    assert promtool("check", "metrics", text=text) == ""
    head = a.ns.run("curl", "-sSI", "http://127.0.0.1:9475/metrics").stdout
    assert "text/plain; version=0.0.4" in head


def test_the_strict_reader_of_openmetrics_reads_it_and_the_reference_names_all_of_it(site):
    need("curl")
    _, a, _ = site
    wait_for("a probe through the tunnel is answered", lambda: "culvert_tunnel_rtt_seconds{" in scrape(a, accept=OPEN_METRICS), 20)
    found = families(scrape(a, accept=OPEN_METRICS))
    named = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.M))
    scraped = {sample.name for family in found.values() for sample in family.samples}
    assert scraped <= named
    # what only clients and certificates have
    assert {name for name in named - scraped} == {"culvert_pool_addresses", "culvert_pool_leases", "culvert_pool_kept_leases",
                                                   "culvert_certificate_expiry_timestamp_seconds"}
    assert found["culvert_tunnel_inbound_bytes"].unit == "bytes"
    (rtt,) = found["culvert_tunnel_rtt_seconds"].samples
    assert 0 < rtt.value < 1 and rtt.labels == {"tunnel": "b", "peer": "b"}
    (loss,) = found["culvert_tunnel_probe_loss_ratio"].samples
    assert loss.value < 0.5


def test_numbers_are_those_of_status_and_drops_and_tunnels_that_are_down_are_there(site):
    need("curl")
    net, a, b = site
    before = samples(a)
    assert_reaches(net.A.host, net.B.host4)
    after = samples(a)

    def of(name, **labels):
        key = name, frozenset(labels.items())
        return before[key], after[key]
    for what in ("inbound_packets", "outbound_packets", "inbound_bytes", "outbound_bytes"):
        first, last = of(f"culvert_tunnel_{what}_total", tunnel="b", peer="b")
        assert last > first, what
        assert last == a.peer("b")["tunnels"][0][what]
    assert of("culvert_tunnel_up", tunnel="b", peer="b") == (1, 1)
    assert of("culvert_tunnel_up", tunnel="gone", peer="gone") == (0, 0)
    assert of("culvert_peer_up", peer="gone") == (0, 0)
    assert of("culvert_peer_expected", peer="gone") == (1, 1)
    assert of("culvert_tunnel_inbound_bytes_total", tunnel="gone", peer="gone") == (0, 0)
    assert value(b, "culvert_peer_expected", peer="a") == 0  # start = "wait"
    drops = a.drops()
    assert {dict(labels)["reason"] for name, labels in after if name == "culvert_dropped_packets_total"} == set(drops)


def test_events_of_a_peer_are_counted(site):
    need("curl")
    _, a, b = site

    def counted(name):
        return value(a, f"culvert_peer_{name}_total", peer="b")
    was = {name: counted(name) for name in ("handshakes", "ike_rekeys", "child_rekeys", "flaps", "losses", "child_sas_established")}
    assert was["handshakes"] >= 1 and was["child_sas_established"] >= 1 and was["flaps"] == 0
    handshake = value(a, "culvert_peer_last_handshake_timestamp_seconds", peer="b")
    child, ike = a.child_spi("b"), a.ike_spis("b")
    a.ctl("rekey", "b")
    a.wait_new_child(child, "b")
    a.wait_new_ike(ike, "b")
    wait_for("rekeys are counted", lambda: counted("ike_rekeys") == was["ike_rekeys"] + 1)
    assert counted("child_rekeys") == was["child_rekeys"] + 1
    assert value(a, "culvert_peer_last_handshake_timestamp_seconds", peer="b") >= handshake
    b.kill()
    a.wait_state("connecting", "b")
    assert counted("flaps") == 1 and counted("losses") == 1 and counted("liveness_checks") >= 1
    assert counted("retransmissions") >= 1
    assert value(a, "culvert_peer_up", peer="b") == 0
    b.start()
    a.wait_up("b")
    assert counted("handshakes") == was["handshakes"] + 1
    wait_for("the peer that is not there is counted", lambda: value(a, "culvert_peer_handshake_failures_total", peer="gone") >= 1)


def test_counters_outlive_reloads_and_so_do_the_metrics_themselves(lab):
    need("curl")
    net = lab.net()
    conf = tables(net.A, net.B, **METRICS)
    b_conf = tables(net.B, net.A, start="wait")
    b = lab.culvert(net.B.gw, b_conf)
    a = lab.culvert(net.A.gw, conf)
    a.wait_up()
    assert_reaches(net.A.host, net.B.host4)

    def counters():
        return {key: value for key, value in samples(a).items() if key[0].endswith("_total")}

    def reload(daemon, tables_, good=True):
        daemon.write(tables_)
        assert (daemon.ctl("reload", check=False).returncode == 0) == good

    def goes_on(was):
        now = counters()
        assert {key for key in was if now.get(key, -1) < was[key]} == set()
        return now
    before = counters()
    assert before["culvert_tunnel_inbound_packets_total", frozenset({("tunnel", "b"), ("peer", "b")})] > 0
    # the tunnel's device is made anew, at both ends; then it has another name for a while
    conf["tunnel.b"]["key"] = b_conf["tunnel.a"]["key"] = 43
    reload(b, b_conf)
    reload(a, conf)
    before = goes_on(before)
    wait_for("the tunnel carries again", lambda: net.A.host.run("ping", "-c1", "-W1", net.B.host4, check=False).returncode == 0)
    before = goes_on(before)
    assert before["culvert_config_loads_total", frozenset({("result", "success")})] == 2
    # a mistake
    reload(a, {**conf, "peer.b": {**conf["peer.b"], "start": "never"}}, good=False)
    assert value(a, "culvert_config_last_load_successful") == 0
    assert value(a, "culvert_config_loads_total", result="failure") == 1
    # another address; one that is taken changes nothing
    reload(a, {**conf, "gateway": {**conf["gateway"], "metrics": "127.0.0.1:9476"}})
    assert "culvert_config_last_load_successful 1" in scrape(a, "http://127.0.0.1:9476/metrics")
    assert a.ns.run("curl", "-sS", "http://127.0.0.1:9475/metrics", check=False).returncode != 0
    reload(a, {**conf, "gateway": {**conf["gateway"], "metrics": "192.0.2.77", "metrics_from": ["192.0.2.0/24"]}}, good=False)
    assert "culvert_config_last_load_successful 0" in scrape(a, "http://127.0.0.1:9476/metrics")
    reload(a, conf)
    goes_on(before)


def test_a_wrong_key_is_an_error_sent_and_an_error_received(lab):
    need("curl")
    net = lab.net()
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", **METRICS))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, peer={"auth": {"psk_file": "other.psk"}}, **METRICS),
                    secrets={"other.psk": "another pre-shared key that nobody knows"})
    wait_for("the error is counted", lambda: value(a, "culvert_ike_errors_total", error="AUTHENTICATION_FAILED", direction="received") >= 1)
    assert value(b, "culvert_ike_errors_total", error="AUTHENTICATION_FAILED", direction="sent") >= 1
    assert value(b, "culvert_peer_handshake_failures_total", peer="a") >= 1
    assert value(b, "culvert_ike_failing_sources") >= 1


def test_a_unix_socket_serves_the_same_and_only_those_who_may_ask_by_tcp(lab):
    need("curl")
    net = lab.net()
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", gateway={"metrics": "unix:metrics.sock"}))
    text = scrape(b, "http://localhost/metrics", socket=b.dir / "metrics.sock")
    assert 'culvert_tunnel_up{tunnel="a",peer="a"} 0' in text
    a = lab.culvert(net.A.gw, tables(net.A, net.B, start="wait", gateway={"metrics": net.A.wan4, "metrics_from": [f"{net.B.wan4}/32"]}))
    where = f"http://{net.A.wan4}:9475/metrics"
    assert "culvert_build_info" in scrape(a, where)
    assert "culvert_build_info" in scrape(b, where)
    refused = net.internet.run("curl", "-sS", "--max-time", "5", where, check=False)
    assert refused.returncode != 0 and refused.stdout == ""


def test_prometheus_scrapes_a_gateway(site):
    need("prometheus", "curl")
    _, a, _ = site
    folder = a.dir / "prometheus"
    folder.mkdir()
    rules = ROOT / "packaging/prometheus/alerts.yml"
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "culvert", "static_configs": [{"targets": ["127.0.0.1:9475"]}]}]}))
    server = Process(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                      "--web.listen-address=127.0.0.1:9090"], ns=a.ns, log=folder / "prometheus.log")

    def ask(path, **query):
        done = a.ns.run("curl", "-sS", f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(query)}", check=False)
        return json.loads(done.stdout)["data"] if done.returncode == 0 and done.stdout.startswith("{") else None

    def of(expr):
        answer = ask("query", query=expr)
        return {tuple(sorted((k, v) for k, v in r["metric"].items() if k not in ("__name__", "job", "instance"))): float(r["value"][1])
                for r in answer["result"]} if answer else {}
    try:
        wait_for(lambda: f"prometheus has scraped\n{server.log.read_text()}",
                 lambda: len(of("culvert_tunnel_up")) == 2 and of("up") == {(): 1.0})
        target = ask("targets")["activeTargets"][0]
        assert (target["health"], target["lastError"]) == ("up", "")
        assert of("culvert_tunnel_up") == {(("peer", "b"), ("tunnel", "b")): 1.0, (("peer", "gone"), ("tunnel", "gone")): 0.0}
        assert of('culvert_build_info')
        assert ask("metadata", metric="culvert_tunnel_inbound_bytes_total") or ask("metadata", metric="culvert_tunnel_inbound_bytes")
        wait_for("the alert for the peer that is gone waits", lambda: any(
            alert["labels"]["alertname"] == "CulvertPeerDown" and alert["labels"]["peer"] == "gone" for alert in ask("alerts")["alerts"]))
        groups = ask("rules")["groups"]
        assert groups and all(rule["health"] == "ok" for group in groups for rule in group["rules"]), groups
        trouble = [line for line in server.log.read_text().splitlines() if re.search(r"level=(warn|error)", line)]
        assert not trouble, trouble
    finally:
        server.stop(20)
