"""Hundreds of road warriors at one gateway (scripts/clients does it with thousands): listed, each at its own address and no other, and what
they leave behind when they go."""
import pytest

from labkit import clients as many

COUNT = 300
POOL4, POOL6 = "10.96.0.0/23", "fd00:96::/119"   # 510 addresses, a few of them reserved: not enough for 300 users and 300 others


class World:
    def __init__(self, lab, auth, users=COUNT, **options):
        self.lab, self.auth, self.net = lab, auth, lab.net("AB")
        self.gateway = many.gateway(lab, self.net, auth, users, POOL4, POOL6, retransmit_timeout="300ms", retransmit_tries=4, **options)

    def clients(self, count=COUNT, **options):
        return many.Clients(self.lab, self.net, self.gateway, self.auth, count, **options)

    def listed(self, clients):
        """Their addresses, after the gateway and they have said the same."""
        mine = clients("addresses")["addresses"]
        theirs = [user["addresses"] for user in many.users(self.gateway)]
        assert sorted(mine) == sorted(theirs)
        for family in (0, 1):
            assert len({one[family] for one in mine}) == len(mine)
        return mine


@pytest.mark.parametrize("auth", ["psk", "eap"])
def test_each_client_is_listed_and_reaches_what_it_may_from_its_own_address_only(lab, auth):
    world = World(lab, auth, liveness="2s")
    clients = world.clients(liveness=1)
    assert clients("call", 64)["up"] == COUNT
    world.listed(clients)
    assert world.gateway.peer("warriors")["clients"] == COUNT
    pings = clients("ping", world.net.B.host4, world.net.B.host6)
    assert (pings["replies"], pings["misled"]) == (2 * COUNT, 0)
    before = world.gateway.drops()["selector_mismatch"]
    forged = clients("forge", world.net.B.host4, world.net.B.host6)
    assert (forged["pings"], forged["replies"], forged["misled"]) == (2 * COUNT, 0, 0)
    assert world.gateway.drops()["selector_mismatch"] == before + 2 * COUNT
    held = clients("hold", 5)
    assert held["went_down"] == 0
    # Every second client asks after a second of silence, the others are asked by the gateway after two.
    assert held["asked"] >= 3 * COUNT // 2 and held["answered"] >= held["asked"] - COUNT // 2
    assert held["was_asked"] >= COUNT // 2 and held["has_answered"] == held["was_asked"]
    assert clients("leave")["left"] == COUNT
    assert world.gateway.peer("warriors")["clients"] == 0 and many.users(world.gateway) == []


def test_addresses_are_kept_for_who_left_and_given_to_others_when_there_are_no_more(lab):
    world = World(lab, "eap", users=2 * COUNT)
    first, others = world.clients(), world.clients(first=COUNT)
    assert first("call", 64)["up"] == COUNT
    mine = world.listed(first)
    first("leave")
    assert first("call", 64)["up"] == COUNT
    assert world.listed(first) == mine
    first("leave")
    assert others("call", 64)["up"] == COUNT   # more than nobody had
    world.listed(others)
    others("leave")
    assert world.gateway.peer("warriors")["clients"] == 0


def test_clients_come_back_to_a_gateway_that_restarts_and_those_that_vanish_are_cleared(lab):
    world = World(lab, "eap", liveness="2s")
    clients = world.clients(liveness=2)
    assert clients("call", 64)["up"] == COUNT
    mine = world.listed(clients)
    world.gateway.stop()
    world.gateway.start()
    assert clients("wait", 60)["up"] == COUNT
    assert world.listed(clients) == mine
    clients("vanish")
    many.wait_clients(world.gateway, 0, 30)
    assert clients("call", 64)["up"] == COUNT
    assert world.listed(clients) == mine
