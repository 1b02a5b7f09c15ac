"""`culvert ping`: packets of its own through a tunnel."""
import re
import socket

import pytest

from labkit.pair import pair, tables
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_udp_passes

IKE, ESP, PSK = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519", "a pre-shared key that only the lab knows"


@pytest.fixture
def path(lab):
    return lab.net()


def shrink(net, size):
    """The internet drops packets that are larger than `size`, without a word, whatever their DF says."""
    net.internet.run("nft", "-f", "-", input=f"table inet narrow {{\nchain f {{\ntype filter hook forward priority 0;\nmeta length > {size} drop\n}}\n}}\n")


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_a_culvert_answers_without_anybody_behind_it(lab, path, carry):
    a, b = pair(lab, path, carry=carry)
    shown = a.ctl("ping", "b", "-c", "5", "-i", "0.1")
    assert re.search(r"^64 bytes from b: seq=1 time=[0-9.]+ ms$", shown.stdout, re.M), shown.stdout
    assert "5 packets transmitted, 5 received, 0% packet loss" in shown.stdout
    assert re.search(r"^rtt min/avg/max/mdev = [0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+ ms$", shown.stdout, re.M)
    assert b.ctl("ping", "a", "-c", "1").returncode == 0
    assert a.ctl("ping", "nobody", "-c", "1", check=False).returncode == 1


def test_loss_and_time_are_those_of_the_path(lab, path):
    lab.wire(path, path.A, delayed=100, duplicated=0, distance=1_000_000, hold=15)
    a, _ = pair(lab, path)
    shown = a.ctl("ping", "b", "-c", "10", "-i", "0.1").stdout
    least, average = map(float, re.search(r"= ([0-9.]+)/([0-9.]+)/", shown).groups())
    assert 29 <= least <= average < 60, shown  # twice 15 ms
    path.internet.run("nft", "-f", "-", input="table inet harm {\nchain f {\ntype filter hook forward priority 0;\n"
                      "ip saddr 192.0.2.1 udp dport 4500 udp length > 16 @th,64,32 != 0 numgen inc mod 10 == 0 drop\n}\n}\n")
    shown = a.ctl("ping", "b", "-c", "100", "-i", "0.05", check=False).stdout
    assert 8 <= int(re.search(r"(\d+)% packet loss", shown)[1]) <= 12, shown


def test_what_the_path_does_not_carry_in_one_piece_is_lost_with_df_alone(lab, path):
    a, _ = pair(lab, path, peer={"path_mtu_discovery": False})
    assert a.ctl("ping", "b", "-c", "2", "-i", "0.1", "-s", "3000").returncode == 0, "in fragments"
    assert a.ctl("ping", "b", "-c", "2", "-i", "0.1", "-s", "3000", "-D", check=False).returncode == 1
    shrink(path, 1400)
    assert a.ctl("ping", "b", "-c", "2", "-i", "0.1", "-s", "1200", "-D").returncode == 0
    lost = a.ctl("ping", "b", "-c", "2", "-i", "0.1", "-s", "1400", "-D", check=False)
    assert lost.returncode == 1 and "2 packets transmitted, 0 received, 100% packet loss" in lost.stdout


def test_a_peer_that_is_down_and_one_behind_which_nobody_is_known_are_said_so(lab, path):
    conf = swanctl_conf(path.B.wan4, path.A.wan4, "b.example", "a.example", PSK, path.B.lan4, path.A.lan4, IKE, ESP)
    known = {"local": [path.A.lan4], "remote": [path.B.lan4], "mtu": 1400}
    a = lab.culvert(path.A.gw, tables(path.A, path.B, carry="ip", peer={"ike": [IKE], "esp": [ESP]}, tunnel=known))
    down = a.ctl("ping", "b", "-c", "1", check=False)
    assert down.returncode == 1 and "no child SA is up" in down.stderr
    lab.strongswan(path.B.gw, conf)
    a.wait_up()
    nobody = a.ctl("ping", "b", "-c", "1", check=False)
    assert nobody.returncode == 1 and "name an address in `probe`" in nobody.stderr
    a.write(tables(path.A, path.B, carry="ip", peer={"ike": [IKE], "esp": [ESP]}, tunnel={**known, "probe": path.B.host4}))
    a.ctl("reload")
    shown = a.ctl("ping", "b", "-c", "3", "-i", "0.2", "-s", "1000")
    assert "3 packets transmitted, 3 received" in shown.stdout


def test_a_flood_of_pings_leaves_others_their_room(lab, path):
    a, _ = pair(lab, path)
    many = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for one in many:
        one.connect(str(a.socket))
        one.sendall(b'{"command":"ping","peer":"b","what":"interval=20"}\n')
        assert '"ok":true' in one.makefile().readline()
    ninth = a.ctl("ping", "b", "-c", "1", check=False)
    assert ninth.returncode == 1 and "that is as many as may" in ninth.stderr
    assert_udp_passes(path, 20)
    for one in many:
        one.close()
    wait_for("room again", lambda: a.ctl("ping", "b", "-c", "1", check=False).returncode == 0)
