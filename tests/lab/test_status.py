"""What `culvert status` says of traffic: "up" means that it passes."""
import json
import time

import pytest

from labkit.monitor import Monitor
from labkit.pair import pair, tables
from labkit.process import Process, wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_reaches

SOON = {"probe_interval": "1s"}
IKE, ESP, PSK = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519", "a pre-shared key that only the lab knows"
# The internet drops ESP and lets IKE through: in UDP 4500 IKE begins with four zero bytes (RFC 3948 §2.2), and a keepalive is one byte.
ESP_DROPPED = "udp dport 4500 udp length > 16 @th,64,32 != 0 drop"


def rules(net, *lines):
    """The internet's firewall: these rules and no others."""
    net.internet.run("nft", "delete", "table", "inet", "harm", check=False)
    if lines:
        chain = "\n".join(lines)
        net.internet.run("nft", "-f", "-", input=f"table inet harm {{\nchain f {{\ntype filter hook forward priority 0;\n{chain}\n}}\n}}\n")


@pytest.fixture
def path(lab):
    return lab.net()


def child(end):
    return end.peer()["children"][0]


def tunnel(end):
    return end.peer()["tunnels"][0]


def wait_traffic(end, state, timeout=10):
    wait_for(lambda: f"traffic is {state}\n{child(end)}\n{end.describe()}", lambda: child(end)["traffic"] == state, timeout)


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_a_tunnel_that_drops_esp_alone_is_degraded_while_ike_lives(lab, path, carry):
    a, b = pair(lab, path, carry=carry, peer=SOON)
    wait_traffic(a, "passes", 5)
    wait_traffic(b, "passes", 5)
    assert a.ctl("status", "--check", check=False).returncode == 0
    monitor = Monitor(lab, a)
    rules(path, ESP_DROPPED)
    wait_traffic(a, "blocked", 8)
    assert tunnel(a)["state"] == "degraded" and a.peer()["state"] == "up"
    shown = a.ctl("status", "--check", check=False)
    assert shown.returncode == 4 and "no traffic passes" in shown.stdout, shown
    assert "ESP is dropped" in child(a)["traffic_reason"]
    spis = a.ike_spis()
    rules(path)
    wait_traffic(a, "passes", 8)
    assert a.ike_spis() == spis and tunnel(a)["state"] == "up"
    assert "ESP is dropped" in monitor.wait("tunnel-degraded")["reason"]
    assert monitor.wait("tunnel-recovered")["tunnel"] == "b"


def test_a_black_hole_that_is_there_from_the_start_is_found_with_the_interval_that_everybody_has(lab, path):
    rules(path, ESP_DROPPED)
    a, _ = pair(lab, path)
    wait_traffic(a, "blocked", 8)
    assert "none ever was" in child(a)["traffic_reason"]


def test_users_who_get_no_answer_make_it_ask_at_once(lab, path):
    a, _ = pair(lab, path)
    wait_traffic(a, "passes", 5)
    rules(path, ESP_DROPPED)
    pings = Process(["ping", "-i", "0.2", path.B.host4], ns=path.A.host)
    began = time.monotonic()
    wait_traffic(a, "blocked", 9)
    took = time.monotonic() - began
    pings.stop()
    assert took < 7, "the interval is ten seconds, and four more for three probes"


def test_idle_is_not_down_and_probes_are_no_traffic(lab, path):
    a, b = pair(lab, path, carry="ip", peer={**SOON, "liveness": "0s"})  # a kernel's multicast stays outside
    wait_traffic(a, "passes", 5)
    before = child(a)
    time.sleep(5)
    after = child(a)
    assert after["traffic"] == "passes" and after["probes"] >= before["probes"] + 3, after
    for count in ("inbound_packets", "inbound_bytes"):
        assert after[count] == before[count], (before, after)
    assert a.drops()["dummy"] == b.drops()["dummy"] == 0
    assert after["rtt_us"] < 100_000 and after["probes_lost"] == 0


def test_without_probes_an_idle_tunnel_is_up(lab, path):
    a, _ = pair(lab, path, peer={"probe_interval": "0s"})
    assert child(a)["probe"] == "off" and tunnel(a)["state"] == "up"
    assert a.ctl("status", "--check", check=False).returncode == 0


def test_the_round_trip_time_and_the_loss_of_the_path_show(lab, path):
    lab.wire(path, path.A, delayed=100, duplicated=0, distance=1_000_000, hold=20)
    a, _ = pair(lab, path, peer=SOON)
    wait_for(lambda: f"eight probes\n{child(a)}", lambda: child(a)["probes"] >= 8, 20)
    known = child(a)
    assert 38_000 <= known["rtt_us"] <= 60_000, known  # twice 20 ms
    rules(path, "udp dport 4500 udp length > 16 @th,64,32 != 0 numgen inc mod 4 == 0 drop")  # both ways: 7 in 16 of the echoes
    wait_for(lambda: f"a loss\n{child(a)}", lambda: child(a)["probes_lost"] >= 3, 30)


def test_rates_are_those_that_iperf3_measures(lab, path):
    a, b = pair(lab, path)
    server = Process(["iperf3", "-s", "-1", "--forceflush"], ns=path.B.host)
    server.wait_output("listening")
    client = Process(["iperf3", "-u", "-b", "8M", "-l", "1000", "-c", path.B.host4, "-t", "14", "-J"], ns=path.A.host)
    time.sleep(12)
    sent, received = child(a), child(b)
    client.wait(20)
    report = json.loads(client.output())
    server.stop()
    payload = report["end"]["sum"]["bits_per_second"]
    expected = payload * 1028 / 1000  # RFC 768, RFC 791: inner packets have 28 bytes more
    for measured in (sent["outbound_bps"], received["inbound_bps"]):
        assert expected * 0.93 < measured < expected * 1.07, (expected, sent, received)
    assert sent["outbound_pps"] == pytest.approx(payload / 8000, rel=0.07)
    assert "Mbit/s" in a.ctl("status").stdout or sent["outbound_pps"] > 0


def strongswan(lab, net, **tunnel):
    lab.strongswan(net.B.gw, swanctl_conf(net.B.wan4, net.A.wan4, "b.example", "a.example", PSK, net.B.lan4, net.A.lan4, IKE, ESP))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, carry="ip", peer={"ike": [IKE], "esp": [ESP], **SOON},
                                     tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "mtu": 1400, **tunnel}))
    a.wait_up()
    return a


def test_behind_strongswan_somebody_who_answers_ping_is_asked(lab, path):
    a = strongswan(lab, path, probe=path.B.host4)
    wait_traffic(a, "passes", 6)
    wait_for(lambda: f"answers\n{child(a)}", lambda: child(a)["probe"] == "ping" and child(a)["probes"] >= 3, 6)
    assert child(a)["rtt_us"] > 0
    rules(path, ESP_DROPPED)
    wait_traffic(a, "blocked", 8)
    assert a.ctl("status", "--check", check=False).returncode == 4
    rules(path)
    wait_traffic(a, "passes", 12)


def test_behind_strongswan_where_nobody_is_known_traffic_tells(lab, path):
    a = strongswan(lab, path)
    time.sleep(3)
    known = child(a)
    assert known["probe"] == "none" and known["traffic"] == "idle" and tunnel(a)["state"] == "up", known
    assert "up (idle)" in a.ctl("status").stdout
    assert a.ctl("status", "--check", check=False).returncode == 0
    pings = Process(["ping", "-i", "0.5", path.B.host4], ns=path.A.host)
    wait_traffic(a, "passes", 6)
    rules(path, ESP_DROPPED)
    wait_traffic(a, "unanswered", 18)
    assert tunnel(a)["state"] == "degraded"
    pings.stop()
    wait_traffic(a, "idle", 20)
