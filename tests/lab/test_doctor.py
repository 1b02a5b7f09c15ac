"""What is wrong, in words: set-ups that are broken in one way each, and what `culvert status` and `culvert doctor` say of them. The same
words stand in docs/troubleshooting.md, whose table is held to this file."""
import json
import re
from pathlib import Path

import pytest

from labkit.culvert import BIN
from labkit.odd_certificates import OddCa
from labkit.pair import tables
from labkit.process import sh, wait_for

FAKETIME = ["env", "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1", "DONT_FAKE_MONOTONIC=1", "FAKETIME=+365d"]
DOCS = Path(__file__).resolve().parents[2] / "docs/troubleshooting.md"


@pytest.fixture
def net(lab):
    return lab.net()


def doctor(end, *options, prefix=()):
    """Its findings; `prefix` runs it under another program."""
    done = sh(*prefix, BIN / "culvert", "--socket", end.socket, "doctor", "--config", end.config, "--json", *options, ns=end.ns, check=False,
              timeout=90)
    assert done.stdout.startswith('{"schema":1,"findings":['), done.stdout + done.stderr
    assert done.returncode in (0, 1), done
    return json.loads(done.stdout)["findings"]


def problems(findings):
    return [finding for finding in findings if finding["severity"] in ("problem", "warning")]


def drop(ns, rule):
    ns.run("nft", "-f", "-", input=f"table inet broken {{\nchain pass {{\ntype filter hook forward priority 0;\n{rule}\n}}\n}}\n")


def two(lab, net, *, a=None, b=None, secrets=None, up=False):
    """A calls B."""
    right = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", **(b or {})), secrets=secrets)
    left = lab.culvert(net.A.gw, tables(net.A, net.B, **(a or {})))
    if up:
        left.wait_up()
        right.wait_up()
    return left, right


def says(end, text, timeout=15):
    """`culvert status` does."""
    pattern = re.compile(text)
    wait_for(lambda: f"status says {text!r}\n{end.describe()}", lambda: pattern.search(end.ctl("status").stdout), timeout)


def finds(end, check, text, **options):
    """`culvert doctor` names it as a problem, with one thing to do; nothing else is wrong by its side."""
    findings = doctor(end, **options)
    for finding in problems(findings):
        if finding["check"] == check and re.search(text, finding["text"]):
            assert finding["advice"], finding
            return finding
    raise AssertionError(f"no {check}: {text!r} among\n" + "\n".join(map(str, problems(findings))))


def row(name):
    """The words of a row of the table in the documentation: regular expressions, as the document has "…" for what differs."""
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == name:
            return [re.escape(text).replace("…", ".+?") for text in re.findall(r"`` (.+?) ``", cells[1])]
    raise AssertionError(f"no row {name!r} in {DOCS}")


def test_a_sound_pair_has_no_problems(lab, net):
    a, b = two(lab, net, up=True)
    for end in (a, b):
        found = doctor(end)
        assert not problems(found), problems(found)
        checks = {finding["check"] for finding in found}
        assert {"configuration", "daemon", "privileges", "peer", "forwarding", "firewall", "mtu", "cpu"} <= checks, checks
        assert any(finding["check"] == "mtu" and "packets of 1500 bytes reach" in finding["text"] for finding in found), found
    human = sh(BIN / "culvert", "--socket", a.socket, "doctor", "--config", a.config, ns=a.ns)
    assert human.returncode == 0 and "0 problems, 0 warnings" in human.stdout, human.stdout


def test_wrong_pre_shared_key(lab, net):
    ours, theirs = row("wrong pre-shared key")
    a, b = two(lab, net, secrets={"lab.psk": "another one, just as long as the first"})
    says(a, ours)
    says(b, theirs)
    assert "psk_file" in finds(b, "peer", theirs)["advice"]


def test_wrong_identity(lab, net):
    ours, theirs = row("wrong identity")
    a, b = two(lab, net, a={"peer": {"id": "other.example"}})
    says(a, ours)
    says(b, theirs)
    assert "`id`" in finds(b, "peer", theirs)["advice"]


def test_no_common_proposal(lab, net):
    ours, theirs = row("no common proposal")
    a, b = two(lab, net, a={"peer": {"ike": ["aes256gcm16-prfsha384-x25519"]}}, b={"peer": {"ike": ["aes128gcm16-prfsha256-ecp256"]}})
    says(a, ours)
    says(b, theirs)
    assert "in common" in finds(a, "peer", ours)["advice"]


@pytest.mark.parametrize("way", ["to us", "to the peer"])
def test_udp_4500_blocked_one_way(lab, net, way):
    said, reach = row("UDP 4500 blocked one way")
    drop(net.internet, f"ip saddr {net.B.wan4} udp sport 4500 drop" if way == "to us" else f"ip daddr {net.B.wan4} udp dport 4500 drop")
    a, _ = two(lab, net)
    says(a, said)
    finds(a, "reach", reach)


def test_unreachable_peer(lab, net):
    said, reach = row("peer unreachable")
    drop(net.internet, f"ip daddr {net.B.wan4} drop")
    a, _ = two(lab, net)
    says(a, said)
    finds(a, "reach", reach)


def test_mtu_black_hole(lab, net):
    (said,) = row("MTU black hole")
    drop(net.internet, "meta length > 1400 drop")
    a, _ = two(lab, net, up=True)
    assert re.search("more than 1400 bytes", finds(a, "mtu", said)["text"])


def test_overlapping_subnets(lab, net):
    (said,) = row("overlapping subnets")
    net.A.gw.address("lan", "10.2.0.99/25")
    a, _ = two(lab, net, up=True)
    finds(a, "overlap", said)


def test_missing_forwarding_and_its_repair(lab, net):
    (said,) = row("missing forwarding")
    net.A.gw.sysctl("net.ipv4.ip_forward=0")
    a, _ = two(lab, net, up=True)
    assert finds(a, "forwarding", said)["fixes"] == ["sysctl net.ipv4.ip_forward=1"]
    fixed = [finding for finding in doctor(a, "--fix") if finding["check"] == "forwarding" and finding["fixed"]]
    assert fixed and net.A.gw.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"
    assert not problems(doctor(a))


def by_certificate(lab, net, starts, ends):
    """A and B with certificates; `starts`, `ends`: when that of B is valid, in days from now."""
    ca = OddCa(lab.path("ca") / "ca")
    mine, theirs = ca.dated("a.example", -1, 90), ca.dated("b.example", starts, ends)
    auth = lambda file: {"peer": {"auth": {"certificate": file, "key": file.with_suffix(".key")}, "peer_auth": {"ca": ca.ca}}}
    return {"a": auth(mine), "b": auth(theirs)}


def test_expired_certificate(lab, net):
    ours, theirs = row("expired certificate")
    a, b = two(lab, net, **by_certificate(lab, net, -90, -2))
    says(a, ours)
    says(b, theirs)
    finds(a, "peer", ours)
    finds(b, "certificate", theirs)


def test_clock_off_by_a_year(lab, net):
    ours, clock = row("clock off by a year")
    right = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", **(sides := by_certificate(lab, net, -1, 90))["b"]))
    left = lab.culvert(net.A.gw, tables(net.A, net.B, **sides["a"]), start=False)
    left.wrap = FAKETIME
    left.start()
    says(left, ours)
    finds(left, "clock", clock, prefix=FAKETIME)
    del right


def test_shadowed_route(lab, net):
    (said,) = row("routes shadowed")
    a, _ = two(lab, net, up=True)
    net.A.gw.route("10.2.0.128/25", f"{net.A.wan4.rsplit('.', 1)[0]}.254")
    finds(a, "route", said)


def test_selectors_that_do_not_meet(lab, net):
    ours, theirs = row("traffic selectors that don't meet")
    a, b = two(lab, net, a={"carry": "ip", "tunnel": {"local": ["10.9.0.0/24"], "remote": ["10.2.0.0/24"]}},
               b={"carry": "ip", "tunnel": {"local": ["10.2.0.0/24"], "remote": ["10.1.0.0/24"]}})
    says(a, ours)
    says(b, theirs)
    finds(a, "tunnel", ours)


def test_a_daemon_that_is_not_there_and_a_secret_that_all_may_read(lab, net):
    b = lab.culvert(net.B.gw, tables(net.B, net.A), start=False)
    (b.dir / "lab.psk").chmod(0o644)
    found = {finding["check"]: finding for finding in problems(doctor(b))}
    assert "not running" in found["daemon"]["text"] and "mode 0644" in found["files"]["text"], found
    doctor(b, "--fix")
    assert (b.dir / "lab.psk").stat().st_mode & 0o777 == 0o600
