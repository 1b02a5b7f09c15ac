"""Two culverts that face each other, as most tests want them."""


def tables(us, them, *, family=4, carry="gre", start="always", address=None, gateway=None, peer=None, tunnel=None):
    """The configuration of site `us` towards `them`: gateway "a.example", peer "b", tunnel "b" on device "cvB". Extra keys win."""
    name, ours = them.letter.lower(), us.letter.lower()
    if address is None:
        address = [them.wan4 if family == 4 else them.wan6]
    base = {"peer": name, "carry": carry, "device": f"cv{them.letter}"}
    if carry == "gre":
        base |= {"key": 42, "address": [f"169.254.10.{us.number}/24", f"fd00:10::{us.number}/64"], "routes": [them.lan4, them.lan6]}
    else:
        base |= {"local": [us.lan4, us.lan6], "remote": [them.lan4, them.lan6]}
    return {
        "gateway": {"id": f"{ours}.example", **(gateway or {})},
        f"peer.{name}": {"address": address, "id": f"{name}.example", "start": start, "liveness": "2s", "retransmit_timeout": "300ms",
                         "retransmit_tries": 5, **(peer or {})},
        f"tunnel.{name}": {**base, **(tunnel or {})},
    }


def pair(lab, net, *, start=("always", "wait"), nat=False, wait=True, options=({}, {}), debug=(False, False), **both):
    """culvertd on A and B of `net`, the responder first; `both` goes to both sides' tables(), `options` are per side, so is
    `debug` (--debug-keys)."""
    each = [{**both, **options[0]}, {**both, **options[1]}]
    if nat:
        each[1].setdefault("address", "any")
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start=start[1], **each[1]), debug_keys=debug[1])
    a = lab.culvert(net.A.gw, tables(net.A, net.B, start=start[0], **each[0]), debug_keys=debug[0])
    if wait:
        a.wait_up()
        b.wait_up()
    return a, b


def assert_one_ike_sa(a, b):
    """Both ends hold the same IKE SA, and children that belong together."""
    ours, theirs = a.peer(), b.peer()
    assert (ours["spi_i"], ours["spi_r"]) == (theirs["spi_i"], theirs["spi_r"]), (ours, theirs)
    pairs = [(c["inbound_spi"], c["outbound_spi"]) for c in ours["children"]]
    assert pairs == [(c["outbound_spi"], c["inbound_spi"]) for c in theirs["children"]], (ours, theirs)
