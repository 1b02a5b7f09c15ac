"""`culvert connect` on the road: addresses that change, networks that block UDP, a lid that closes. A TCP stream goes on inside."""
import signal
import time

import pytest

from labkit.office import Office, Stream
from labkit.process import Process, wait_for
from labkit.traffic import assert_reaches, iperf3, wait_reaches

TCP_PORT = 443


@pytest.fixture
def world(lab):
    return Office(lab)


def test_twenty_new_addresses_in_a_minute_under_a_tcp_stream(world):
    """In 30 s, in fact: the lab has to be short."""
    world.gateway(full=True)
    client = world.client()
    wait_reaches(world.laptop, world.net.B.host4, timeout=5)
    spis = client.ike_spis()
    stream, times = Stream(world), []
    for number in range(20):
        world.readdress(f"172.16.1.{20 + number}")
        stream.longest = 0.0
        time.sleep(1.5)
        times.append(stream.longest)
    stream.finish()
    print("longest pauses, in s:", [f"{seconds:.2f}" for seconds in times])
    assert stream.intact and stream.received == stream.sent > 200_000
    assert max(times) <= 1
    assert client.ike_spis() == spis


def block_udp(world, on=True):
    table = "table inet censor {\n chain forward {\n type filter hook forward priority 0\n meta l4proto udp drop\n }\n}\n" if on else ""
    world.net.internet.run("nft", "-f", "-", input="table inet censor {\n}\ndelete table inet censor\n" + table)


def test_a_network_that_blocks_udp_is_crossed_by_tcp_and_udp_is_used_again(world):
    """With the kill switch closed, which lets out TCP to the gateway alone."""
    net = world.net
    gateway = world.gateway(full=True, gateway={"tcp_port": TCP_PORT})
    client = world.client(start=False, kill_switch=True, tcp_port=TCP_PORT)
    block_udp(world)
    start = time.monotonic()
    client.connect()
    wait_reaches(world.laptop, net.B.host4, timeout=5)
    took = time.monotonic() - start
    assert took <= 5 and client.peer()["remote"] == f"{net.B.wan4}:{TCP_PORT} by TCP"
    for options in ([], ["-R"]):
        assert iperf3(world.laptop, net.B.host, net.B.host4, "-n", "20M", *options)["end"]["sum_received"]["bytes"] > 0
    stream = Stream(world)
    block_udp(world, False)
    start = time.monotonic()
    wait_for("UDP is used again", lambda: not client.peer()["remote"].endswith("by TCP"), timeout=60, interval=0.2)
    back = time.monotonic() - start
    time.sleep(1)
    stream.finish()
    print(f"up by TCP after {took:.1f} s, by UDP again after {back:.1f} s, longest pause {stream.longest:.2f} s")
    assert back <= 60 and stream.intact and stream.received == stream.sent > 0
    assert client.peer()["remote"] == f"{net.B.wan4}:4500"
    assert gateway.peer()["clients"] == 1


def test_a_laptop_that_slept_longer_than_the_gateway_waits_is_back_by_itself(world):
    """SIGSTOP stands for the sleep: the gateway hears nothing, and forgets the client."""
    gateway = world.gateway(full=True, retransmit_tries=3)
    client = world.client()
    wait_reaches(world.laptop, world.net.B.host4, timeout=5)
    client.process.popen.send_signal(signal.SIGSTOP)
    wait_for("the gateway has given it up", lambda: gateway.peer()["clients"] == 0, timeout=30)
    client.process.popen.send_signal(signal.SIGCONT)
    wait_reaches(world.laptop, world.net.B.host4, timeout=30)
    client.disconnect()
    world.assert_as_before()
