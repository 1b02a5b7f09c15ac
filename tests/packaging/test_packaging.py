"""What can be said of the Debian package without building it: its files agree with each other, with the programs and with CMake.
scripts/package builds it and has lintian look at it; scripts/try-package installs it in a pristine Debian."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "packaging/debian"
BIN = Path(os.environ["CULVERT_BIN"])


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, **options)


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program}")


def unit():
    """[(section, key, value)] of the unit, in its order."""
    lines, section = [], None
    for line in (DEBIAN / "culvert.service").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            lines.append((section, key, value))
    return lines


def words(text):
    return set(re.findall(r"[a-z0-9][a-z0-9.+-]+", text))


def test_a_package_is_built_from_what_scripts_deps_installs_for_a_build():
    script = (ROOT / "scripts/deps").read_text()
    build = words(re.search(r'^build="([^"]*)"', script, re.M | re.S).group(1))
    fields = re.search(r"^Build-Depends:(.*?)^\S", (DEBIAN / "control").read_text(), re.M | re.S).group(1)
    depends = words(re.sub(r"\([^)]*\)", "", fields))
    assert build - depends == {"doctest-dev"}, "the package runs no tests"
    assert depends - build == {"debhelper-compat"}


def test_the_changelog_has_the_version_of_the_programs():
    version = re.match(r"culvert \(([^)]*)\)", (DEBIAN / "changelog").read_text()).group(1)
    assert f"VERSION {version} " in (ROOT / "CMakeLists.txt").read_text()
    assert version in run(BIN / "culvertd", "--version").stdout


@needs("systemd-analyze")
def test_systemd_understands_the_unit_and_warns_of_nothing(tmp_path):
    """Programs and the manual pages stand where the package would put them."""
    text = (DEBIAN / "culvert.service").read_text().replace("/usr/sbin/culvertd", str(BIN / "culvertd"))
    text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
    (tmp_path / "culvert.service").write_text(text)
    verified = run("systemd-analyze", "verify", "--man=no", tmp_path / "culvert.service")
    assert verified.returncode == 0 and "culvert.service" not in verified.stderr, verified.stderr


def test_the_unit_runs_no_program_that_a_minimal_debian_may_lack():
    """procps, which has kill(1), is not there on one; /bin/sh and what the package brings are."""
    programs = {value.lstrip("+-").split()[0] for section, key, value in unit() if key.startswith("Exec")}
    assert programs <= {"/usr/sbin/culvertd", "/bin/sh"}


def test_the_unit_leaves_the_daemon_what_it_gives_up_by_itself():
    """docs/security.md: it changes its user, so it must be allowed to; and what a reload does needs all of root."""
    values = {key: value for _, key, value in unit()}
    bounding = set(values["CapabilityBoundingSet"].split())
    assert {"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_BPF", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"} <= bounding
    assert values["ExecReload"].startswith("+") and values["ExecStopPost"].startswith("+")
    assert values["Type"] == "notify" and int(values["FileDescriptorStoreMax"]) >= 1024


@needs("systemd-sysusers")
def test_the_user_is_made_from_nothing(tmp_path):
    (tmp_path / "etc").mkdir()
    made = run("systemd-sysusers", f"--root={tmp_path}", DEBIAN / "culvert.sysusers")
    assert made.returncode == 0, made.stderr
    assert re.search(r"^culvert:.*:/var/lib/culvert:.*nologin$", (tmp_path / "etc/passwd").read_text(), re.M)


def test_purging_names_every_place_that_the_unit_writes_to():
    places = {f"/{kind}/{value}" for _, key, value in unit()
              for name, kind in (("RuntimeDirectory", "run"), ("StateDirectory", "var/lib")) if key == name}
    assert places == {"/run/culvert", "/var/lib/culvert"}
    postrm = (DEBIAN / "postrm").read_text()
    assert all(place in postrm for place in places | {"/etc/culvert", "userdel culvert"})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_of_the_shell_that_they_are_for(shell, tmp_path):
    done = run(BIN / "culvert", "completion", shell)
    assert done.returncode == 0 and "culvert" in done.stdout
    if shutil.which(shell):
        script = tmp_path / "completion"
        script.write_text(done.stdout)
        checked = run(shell, "-n", script)
        assert checked.returncode == 0, checked.stderr


@needs("man")
def test_manual_pages_have_no_mistakes(tmp_path):
    generated = tmp_path / "culvert.8"
    generated.write_text(run(BIN / "culvert", "manual").stdout)
    for page in [generated, *(ROOT / "packaging/man").iterdir()]:
        rendered = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page, env={**os.environ, "MANWIDTH": "80"})
        assert rendered.returncode == 0 and rendered.stderr == "", (page, rendered.stderr)


def test_every_option_of_culvertd_stands_in_its_manual():
    options = set(re.findall(r"--[a-z-]+", run(BIN / "culvertd", "--help").stdout)) - {"--help", "--version"}
    manual = (ROOT / "packaging/man/culvertd.8").read_text().replace("\\-", "-")
    assert options and all(option in manual for option in options), options


@needs("sh")
def test_the_scripts_of_the_package_are_scripts():
    for script in ("postrm",):
        assert run("sh", "-n", DEBIAN / script).returncode == 0
    assert run("bash", "-n", ROOT / "scripts/try-package").returncode == 0
    assert run("sh", "-n", ROOT / "scripts/package").returncode == 0
