"""IKE and ESP in TCP (RFC 9329), where the network blocks UDP. The initiator is behind a NAT."""
import time

import pytest

from labkit.capture import Capture
from labkit.pair import pair
from labkit.process import Process, wait_for
from labkit.traffic import assert_reaches, iperf3, wait_reaches

PORT = 443


@pytest.fixture(scope="module")
def net(shared):
    return shared.net(nat="A")


def block_udp(net, on=True):
    table = "table inet censor {\n chain forward {\n type filter hook forward priority 0\n meta l4proto udp drop\n }\n}\n" if on else ""
    net.internet.run("nft", "-f", "-", input="table inet censor {\n}\ndelete table inet censor\n" + table)


@pytest.fixture
def blocked(net):
    block_udp(net)
    yield
    block_udp(net, False)


def join(lab, net, carry="ip", wait=True):
    return pair(lab, net, nat=True, wait=wait, carry=carry, options=({"peer": {"tcp_port": PORT}}, {"gateway": {"tcp_port": PORT}}))


def by_tcp(gateway):
    return gateway.peer()["remote"].endswith(" by TCP")


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_a_network_that_blocks_udp_is_crossed_by_tcp(lab, net, blocked, carry):
    start = time.monotonic()
    with Capture(net.internet, "wanB", lab.folder, expression=f"tcp port {PORT}") as capture:
        a, b = join(lab, net, carry)
        assert time.monotonic() - start < 5
        assert_reaches(net.A.host, net.B.host4)
    assert a.peer()["remote"] == f"{net.B.wan4}:{PORT} by TCP"
    assert b.peer()["remote"].startswith(f"{net.A.wan4}:") and by_tcp(b)
    assert capture.count(f"tcp.dstport == {PORT} && tcp contains \"IKETCP\"") == 1  # RFC 9329 §4, by tshark's count
    for options in ([], ["-R"]):
        report = iperf3(net.A.host, net.B.host, net.B.host4, "-n", "20M", *options)
        assert report["end"]["sum_received"]["bytes"] > 0
    child, ike = a.child_spi(), a.ike_spis()
    b.ctl("rekey", "a", "--child")
    a.wait_new_child(child)
    a.ctl("rekey", "b", "--ike")
    a.wait_new_ike(ike)
    assert_reaches(net.B.host, net.A.host4)


def test_udp_is_used_again_when_it_works_and_no_tcp_session_inside_breaks(lab, net, blocked):
    a, b = join(lab, net)
    stream = Process(["iperf3", "-s", "-1", "-p", "5290", "--forceflush"], ns=net.B.host)
    stream.wait_output("Server listening")
    client = Process(["iperf3", "-c", net.B.host4, "-p", "5290", "-t", "30", "-b", "20M", "--forceflush"], ns=net.A.host)
    try:
        assert by_tcp(a)
        block_udp(net, False)
        start = time.monotonic()
        wait_for("UDP is used again", lambda: not by_tcp(a) and not by_tcp(b), timeout=60, interval=0.2)
        assert time.monotonic() - start <= 60
        assert_reaches(net.A.host, net.B.host4)
        assert client.popen.poll() is None, "the TCP session inside has ended"
        # And back: what came up by UDP goes on by TCP.
        block_udp(net)
        wait_reaches(net.A.host, net.B.host4, timeout=15)
        assert by_tcp(a)
        wait_for("iperf3 is done", lambda: client.popen.poll() is not None, timeout=60)
        assert client.popen.returncode == 0
    finally:
        client.stop()
        stream.stop()


def test_whoever_does_not_speak_ike_in_tcp_is_hung_up_on(lab, net):
    _, b = join(lab, net, wait=False)
    answer = net.A.gw.run("timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{net.B.wan4}/{PORT}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")
    assert answer.stdout == ""
    b.wait_up()
