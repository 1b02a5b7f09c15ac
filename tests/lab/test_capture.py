"""`culvert capture`: what it writes, read by tshark with the command that it prints; limits, permissions, and what it leaves behind."""
import os
import re
import stat
import subprocess
import time

import pytest

from labkit.capturing import LiveCapture, wait_exported
from labkit.culvert import BIN
from labkit.pair import pair
from labkit.process import sh
from labkit.schemas import conform
from labkit.traffic import Echo, assert_reaches, iperf3

KEYS = {"allow_key_export": True}


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()  # datagrams are not cut: what the kernel shows together the capture has to take apart


def export(lab, gateway, *argv):
    return LiveCapture(gateway, lab.folder, *argv, "--keys", "--seconds", "60")


def renew(gateway, peer="b"):
    """New keys for all, one after the other."""
    ike, child = gateway.ike_spis(), gateway.child_spi()
    gateway.ctl("rekey", peer, "--ike")
    gateway.wait_new_ike(ike)
    gateway.ctl("rekey", peer, "--child")
    gateway.wait_new_child(child)


ECHO = 'esp.decrypted_data contains "cvecho"'  # by which the gateways find out whether traffic passes, in dummy packets; tshark has no name for it

CASES = {
    "gre in udp": {"peer": {"esp": ["aes256gcm16-x25519-esn"]}},
    "raw esp": {"carry": "ip", "peer": {"esp": ["aes128gcm16-noesn"], "encapsulation": "raw"}},
    "gre over ipv6": {"family": 6, "tunnel": {"mode": "tunnel"}},
    "cbc": {"carry": "ip", "peer": {"ike": ["aes256-sha384-modp2048"], "esp": ["aes256-sha512-esn"]}},
}


@pytest.mark.parametrize("case", CASES)
def test_tshark_opens_what_was_up_before_and_what_came_later_with_the_command_that_capture_prints(lab, net, case):
    options = CASES[case]
    a, _ = pair(lab, net, options=({"gateway": KEYS, **options}, options))
    inner = "icmp.type == 8 && ip.dst == " + net.B.host4
    with export(lab, a, "b") as capture:
        assert "(pid " in a.status()["key_export"] and "KEYS" in a.ctl("status").stdout
        assert_reaches(net.A.host, net.B.host4, count=5)
        renew(a)
        assert_reaches(net.A.host, net.B.host4, count=5)
        report = iperf3(net.A.host, net.B.host, net.B.host4, "-n", "1M")
        assert report["end"]["sum_received"]["bytes"] > 0
    protocol = {"raw esp": "!udp && esp", "gre in udp": "udp && esp && gre.key == 42", "gre over ipv6": "ipv6 && esp && gre.key == 42",
                "cbc": "udp && esp"}[case]
    assert capture.count(f"frame.interface_name == cvB && {inner}") == 10
    assert capture.count(f"frame.interface_name == outer && {protocol} && {inner}", keys=True) == 10
    opened = f"icmp || icmpv6 || tcp || udp.dstport == 5201 || igmp || {ECHO}"
    assert capture.count(f"esp && !({opened})", keys=True) == 0, "ESP that did not open"
    assert capture.count("esp && tcp", keys=True) > 100, "also what went out and came in as one large datagram"
    assert capture.count("isakmp.exchangetype == 36 && isakmp.tf.type", keys=True) >= 2, "CREATE_CHILD_SA opened"
    for device, direction, icmp in (("cvB", 2, 8), ("outer", 2, 8), ("cvB", 1, 0), ("outer", 1, 0)):
        assert capture.count(f"frame.interface_name == {device} && frame.packet_flags_direction == {direction} && icmp.type == {icmp}",
                             keys=True) == 10
    rows = (capture.path.parent / f"{capture.path.name}.keys/esp_sa").read_text().splitlines()
    assert len(rows) == 1 + 4, "a pair before, a pair after"
    wait_exported(a)
    assert len(re.findall("KEY EXPORT: uid 0 .* gets the keys of peer b for 60 s", a.log())) == 1
    assert len(re.findall(r"KEY EXPORT: over \(it was stopped\)", a.log())) == 1


def test_ike_auth_of_a_peer_that_comes_up_meanwhile_is_opened(lab, net):
    a, b = pair(lab, net, start=("wait", "always"), options=({"gateway": KEYS}, {}))
    b.ctl("down", "a")
    with export(lab, a, "b") as capture:
        b.ctl("up", "a")
        a.wait_up()
    names = {part for row in capture.tshark("isakmp.exchangetype == 35", ["isakmp.id.data.fqdn"], keys=True) for part in row[0].split(",")}
    assert {"a.example", "b.example"} <= names
    assert capture.count("isakmp.exchangetype == 35 && isakmp.notify.msgtype == 16391 && isakmp.ts.number", keys=True) >= 1


def test_the_filter_is_about_inner_packets_or_outer_ones_alone_and_nothing_else_gets_in(lab, net):
    a, _ = pair(lab, net)
    with LiveCapture(a, lab.folder, "b", "--inner", "icmp", "and", "host", net.B.host4, name="inner") as inner, \
            LiveCapture(a, lab.folder, "--outer", "src host " + net.A.wan4, name="outer") as outer, \
            LiveCapture(a, lab.folder, "icmp", name="both") as both:
        assert_reaches(net.A.host, net.B.host4, count=3)
        assert_reaches(net.A.host, net.B.host6, count=3)
        iperf3(net.A.host, net.B.host, net.B.host4, "-n", "100K")
    assert inner.count("icmp") == 6 == inner.counts[0] == inner.counts[1]
    assert outer.count("frame.packet_flags_direction == 1") == 0 and outer.count("esp || isakmp") == outer.counts[2] >= 6
    assert both.count("frame.interface_name == cvB") == 6 and both.counts[1] == 6 and both.counts[2] > 12
    assert {i[0] for i in both.tshark(fields=["frame.interface_name"])} == {"cvB", "outer"}


def test_limits_of_packets_bytes_time_and_length_hold(lab, net):
    a, _ = pair(lab, net)
    echo = Echo(net.A.host, net.B.host4, count=0, size=500)
    captures = [LiveCapture(a, lab.folder, "--count", 7, name="count"), LiveCapture(a, lab.folder, "--bytes", 5000, name="bytes"),
                LiveCapture(a, lab.folder, "--seconds", 1, name="seconds"),
                LiveCapture(a, lab.folder, "--inner", "--snaplen", 64, "-c", 5, "icmp", name="short")]
    start = time.monotonic()
    for capture in captures:
        capture.wait_end()
    assert time.monotonic() - start < 10
    count, size, _, short = captures
    assert count.counts[0] == 7 == count.count("frame")
    assert 5000 <= sum(int(row[0]) for row in size.tshark(fields=["frame.cap_len"])) < 5000 + 700
    assert {tuple(row) for row in short.tshark(fields=["frame.cap_len", "frame.len"])} == {("64", "528")}
    echo.finish()


def culvert(a, *argv, timeout=30, **options):
    return subprocess.run([str(x) for x in (BIN / "culvert", "--socket", a.socket, "capture", *argv)], capture_output=True, text=True,
                          timeout=timeout, check=False, **options)


def test_lines_and_pipes(lab, net):
    a, _ = pair(lab, net)
    echo = Echo(net.A.host, net.B.host4, count=0)
    lines = culvert(a, "b", "-c", "4", "--inner", "icmp").stdout.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(rf"\d\d:\d\d:\d\d\.\d{{6}} cvB (out|in) \S+ > \S+ icmp type [08] code 0, 84 bytes", lines[0]), lines
    outer = culvert(a, "--outer", "-c", "4").stdout
    assert re.search(rf"outer out {net.A.wan4}\.4500 > {net.B.wan4}\.4500 ESP SPI 0x[0-9a-f]{{8}} number \d+, \d+ bytes", outer), outer
    command = f"'{BIN}/culvert' --socket '{a.socket}' capture icmp -w - --inner"
    piped = sh("sh", "-c", f"{command} -c 6 | tshark -n -l -r -")
    assert piped.stdout.count("Echo (ping)") == 6, piped
    # who reads no more ends it, and that is no mistake
    start = time.monotonic()
    ended = sh("bash", "-c", f"{command} | head -c 100 >/dev/null; echo ${{PIPESTATUS[0]}}", timeout=20)
    assert ended.stdout.strip() == "0" and time.monotonic() - start < 15, ended
    echo.finish()


def test_refused_without_permission_and_nothing_is_left_behind(lab, net):
    a, b = pair(lab, net, options=({}, {"gateway": KEYS}))
    before = sorted(lab.folder.iterdir())
    refused = culvert(a, "-w", lab.folder / "x", "--keys")
    assert refused.returncode == 1 and "allow_key_export" in refused.stderr, refused
    assert culvert(a, "b", "--keys").returncode == 2
    unknown = culvert(a, "nobody-knows-it-", "-w", lab.folder / "x")
    assert unknown.returncode == 1 and "no peer or tunnel nobody-knows-it-" in unknown.stderr, unknown
    assert culvert(a, "b", "icmp and", "-w", lab.folder / "x").returncode == 1
    assert sorted(lab.folder.iterdir()) == before

    # another user: not even where the socket lets him in
    os.chmod(b.socket, 0o666)
    os.chmod(b.dir, 0o755)
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    for more in (["--inner"], ["--keys", "-w", "/tmp/culvert-lab-x", "--keys-to", "/tmp/culvert-lab-x.keys"]):
        done = sh(*argv, BIN / "culvert", "--socket", b.socket, "capture", *more, check=False)
        assert done.returncode == 1, done
    assert not os.path.exists("/tmp/culvert-lab-x.keys") and not os.path.exists("/tmp/culvert-lab-x")
    assert "KEY EXPORT" not in a.log() + b.log()

    # files: only their owner's, never written over
    with export(lab, b, "a") as capture:
        second = culvert(b, "-w", lab.folder / "second", "--keys", "--seconds", "5")
        assert second.returncode == 1 and "one at a time" in second.stderr, second
        assert_reaches(net.B.host, net.A.host4)
    keys = capture.path.parent / f"{capture.path.name}.keys"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (capture.path, *keys.iterdir())}
    assert modes == {0o600} and stat.S_IMODE(keys.stat().st_mode) == 0o700
    again = culvert(b, "-w", capture.path, "-c", "1")
    assert again.returncode == 1 and "exists already" in again.stderr
    content = capture.path.read_bytes()
    kept = culvert(b, "-w", capture.path, "--force", "-c", "1", "--keys")
    assert kept.returncode == 1 and "exists already" in kept.stderr, "the keys of another capture"
    assert capture.path.read_bytes() == content
    assert culvert(b, "-w", capture.path, "-c", "1", "--keys", "--keys-to", lab.folder / "more").returncode == 1
    assert {"second", "second.keys", "more"}.isdisjoint(path.name for path in lab.folder.iterdir())


def test_keys_are_given_no_longer_than_was_said_nor_to_a_command_that_was_killed(lab, net):
    a, _ = pair(lab, net, options=({"gateway": KEYS}, {}))
    capture = LiveCapture(a, lab.folder, "b", "--keys", "--seconds", "2")
    capture.wait_end()
    assert a.status()["key_export"] == ""
    dead = LiveCapture(a, lab.folder, "b", "--keys", name="dead")
    dead.process.kill()
    assert a.status()["key_export"] != ""
    wait_exported(a)
    a.wait_log(r"KEY EXPORT: over \(nobody fetches them\)")
    # and when the configuration takes the permission away
    stopped = LiveCapture(a, lab.folder, "b", "--keys", name="stopped")
    a.config.write_text(a.config.read_text().replace("allow_key_export = true", "allow_key_export = false"))
    a.ctl("reload")
    wait_exported(a)
    stopped.process.wait_output("gives no more keys")
    stopped.stop()
    conform("status", a.ctl("status", "--json").stdout)


def test_a_capture_goes_on_when_the_gateway_restarts_and_follows_its_new_device(lab, net):
    a, _ = pair(lab, net)
    with LiveCapture(a, lab.folder, "icmp") as capture:
        a.stop()
        a.start()
        a.wait_up()
        time.sleep(1.5)  # it looks once a second
        assert_reaches(net.A.host, net.B.host4, count=3)
    assert capture.count("frame.interface_name == cvB && icmp.type == 8") == 3


def test_what_goes_by_tcp_is_there_as_segments_and_as_the_datagrams_in_them_which_open(lab, net):
    table = "table inet censor {\n chain forward {\n type filter hook forward priority 0\n meta l4proto udp drop\n }\n}\n"
    net.internet.run("nft", "-f", "-", input=table)
    try:
        a, _ = pair(lab, net, options=({"gateway": KEYS, "peer": {"tcp_port": 443}}, {"address": "any", "gateway": {"tcp_port": 443}}))
        assert a.peer()["remote"].endswith(" by TCP")
        with export(lab, a, "b") as capture:
            time.sleep(1.2)
            assert_reaches(net.A.host, net.B.host4, count=3)
        assert capture.count("frame.interface_name == outer && tcp.port == 443 && tcp.len > 0") >= 2  # a segment may have several
        assert capture.count(f"frame.interface_name == outer && udp && esp && icmp.type == 8 && ip.dst == {net.B.host4}", keys=True) == 3
    finally:
        net.internet.run("nft", "delete", "table", "inet", "censor")
