"""The book in docs/: its links lead somewhere, and the TOML in it, in README.md and in conf/ is what `culvert check` accepts."""
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("CULVERT_BIN", ROOT / "build/dev/bin"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTION = re.compile(r"\s*\[(gateway|peer\.|tunnel\.|pool\.|radius\.)")


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S))


def anchors(page):
    """As GitHub makes them of headings: lower case, spaces to hyphens, nothing but letters, digits, hyphens and _."""
    names, seen = set(), {}
    for heading in re.findall(r"^#{1,6} (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(name if name not in seen else f"{name}-{seen[name]}")
        seen[name] = seen.get(name, 0) + 1
    return names


def broken_links(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A Heading: `x`\n[a](#a-heading-x) [b](#b) [c](nowhere.md) [d](page.md#a-heading-x) [e](https://example.net/) `[f](g)`\n")
    assert broken_links(page) == ["#b", "nowhere.md"]


def test_the_index_names_every_page():
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in PAGES[1:] if page.name != "README.md" and f"]({page.name}" not in index] == []


# ---- TOML


def blocks(page):
    """(line, text) of fenced TOML, and of indented code that begins with a table of ours."""
    lines, found, at = page.read_text().splitlines(), [], 0
    while at < len(lines):
        start = at
        if lines[at].strip() == "```toml":
            at = start = at + 1
            while lines[at].strip() != "```":
                at += 1
            found.append((start + 1, "\n".join(lines[start:at])))
        elif lines[at].startswith("    ") and SECTION.match(lines[at]) and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and (lines[at].startswith("    ") or (not lines[at].strip() and SECTION.match((lines + [""])[at + 1]))):
                at += 1
            found.append((start + 1, "\n".join(line[4:] for line in lines[start:at])))
        at += 1
    return found


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value) if isinstance(value, (int, float)) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def complete(tables):
    """A part of a file with the rest that it leaves to the reader: who we are, the peer of a tunnel, how it proves who it is."""
    gateway = tables.setdefault("gateway", {})
    if "certificate" not in gateway.get("auth", {}):
        gateway.setdefault("id", "gateway.example.net")
    peers = tables.setdefault("peer", {})
    for name, tunnel in tables.get("tunnel", {}).items():
        peers.setdefault(tunnel.setdefault("peer", "other"), {})
        tunnel.setdefault("carry", "gre")
        tunnel.setdefault("device", f"cv-{name}"[:15])
    for name in set(peers) - {tunnel["peer"] for tunnel in tables.get("tunnel", {}).values()}:
        tables.setdefault("tunnel", {})[name] = {"peer": name, "carry": "gre", "device": f"cv-{name}"[:15]}
    for name, peer in peers.items():
        peer.setdefault("address", "any")
        peer.setdefault("id", f"{name}.example.net")
        if "auth" not in gateway and "auth" not in peer and "peer_auth" not in peer:
            peer["auth"] = {"psk_file": "some.psk"}
    return tables


def is_part(tables):
    return "gateway" not in tables or not tables.get("tunnel")


def text_of(tables):
    out = []
    for kind, table in tables.items():
        for name, keys in ([(kind, table)] if kind == "gateway" else [(f'{kind}.{name}', keys) for name, keys in table.items()]):
            out += [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in keys.items())]
    return "\n".join(out) + "\n"


def run(*argv, cwd):
    return subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, text=True, timeout=60)


def as_list(value):
    return [value] if isinstance(value, str) else value


def provide_files(tables, folder):
    """The files that it names, beside it: keys, certificates, users."""
    def secret(name, text="a key of twenty-four bytes"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
        (folder / name).chmod(0o600)

    def auth(table, identity):
        for key in ("psk_file", "password_file"):
            if key in table:
                secret(table[key])
        if "certificate" in table:
            run(BIN / "culvert", "pki", "ca", "--name", "docs", "--out", folder / "pki", cwd=folder)
            kind = "user" if "@" in identity else "gateway"
            done = run(BIN / "culvert", "pki", kind, identity, "--out", folder / "pki", cwd=folder)
            assert done.returncode == 0, done.stderr
            secret(table["certificate"], (folder / "pki" / f"{identity}.pem").read_text())
            secret(table["key"], (folder / "pki" / f"{identity}.key").read_text())
        elif "key" in table and not (folder / table["key"]).exists():
            run(BIN / "culvert", "genkey", table["key"], cwd=folder)
        for ca in as_list(table.get("ca", [])):
            run(BIN / "culvert", "pki", "ca", "--name", "docs", "--out", folder / "pki", cwd=folder)
            secret(ca, (folder / "pki/ca.pem").read_text())
        for crl in as_list(table.get("crl", [])):
            run(BIN / "culvert", "pki", "crl", "--out", folder / "pki", cwd=folder)
            if "://" not in crl:
                (folder / crl).write_bytes((folder / "pki/ca.crl").read_bytes())

    gateway = tables["gateway"]
    identity = gateway.get("id", "gateway.example.net")
    for owner in [gateway, *tables.get("peer", {}).values()]:
        for key in ("auth", "peer_auth"):
            auth(owner.get(key, {}), owner.get("local_id", identity))
    if "users" in gateway:
        secret(gateway["users"], '["ada@example.net"]\npassword = "correct horse battery"')
    for radius in tables.get("radius", {}).values():
        secret(radius["secret_file"])


BLOCKS = [(page, line, text) for page in PAGES for line, text in blocks(page)]
# What is shown for its words alone: placeholders, tokens and CRLs that are not here.
NOT_WHOLE = re.compile("…|pkcs11:|credential:|[a-z]+_file = …|intermediates")


@pytest.mark.parametrize("page,line,text", [pytest.param(*block, id=f"{block[0].name}:{block[1]}") for block in BLOCKS])
def test_the_toml_of_the_pages_is_accepted(page, line, text, tmp_path):
    if NOT_WHOLE.search(text):
        return
    tables = tomllib.loads(text)
    if is_part(tables):
        tables = complete(tables)
    provide_files(tables, tmp_path)
    file = tmp_path / "culvert.toml"
    file.write_text(text_of(tables) if is_part(tomllib.loads(text)) else text)
    done = run(BIN / "culvert", "check", file, cwd=tmp_path)
    assert done.returncode == 0, f"{page.name}:{line}: {done.stderr}\n{file.read_text()}"


def test_there_is_toml_to_check():
    assert len([text for _, _, text in BLOCKS if not NOT_WHOLE.search(text)]) >= 8


CONFIGURATIONS = [path for path in sorted((ROOT / "conf").rglob("*.toml")) if path.parent.name != "clients"]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_the_files_of_conf_are_accepted(path, tmp_path):
    text = path.read_text()
    tables = tomllib.loads(text)
    (tmp_path / path.name).write_text(text)
    provide_files(tables, tmp_path)
    done = run(BIN / "culvert", "check", path.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "conf/clients").glob("*.toml")), ids=lambda path: path.name)
def test_the_profiles_of_conf_are_accepted(path, tmp_path):
    tables = tomllib.loads(path.read_text())
    (tmp_path / path.name).write_text(path.read_text())
    provide_files({"gateway": {"id": tables.get("id", "ada@example.net"), "auth": tables.get("auth", {}), "peer_auth": {"ca": tables.get("ca", [])}}}, tmp_path)
    done = run(BIN / "culvert", "check", "--profile", path.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
