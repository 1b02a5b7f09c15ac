// Where a client looks for its gateway: by the host's resolver, and beside a tunnel that is down.
#include "gateway_names.h"

#include <doctest/doctest.h>

#include <atomic>
#include <fstream>

#include "dns_beside.h"
#include "temp_dir.h"

using namespace culvert;
using namespace culvert::daemon;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
using Addresses = std::vector<IpAddress>;

void write(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::trunc) << text;
}

struct Names {
  test::TempDir dir;
  std::atomic<int> num_system = 0, num_beside = 0;
  Result<Addresses> system = Addresses{ip("192.0.2.1")}, beside = Addresses{ip("192.0.2.2")};
  [[nodiscard]] std::shared_ptr<GatewayNames> make() {
    NameSources sources;
    sources.hosts = dir.path() / "hosts";
    sources.system = [this](const std::string&) { return ++num_system, system; };
    sources.beside = [this](const std::string&, const Addresses&) { return ++num_beside, beside; };
    return std::make_shared<GatewayNames>(dir.path() / "names", sources);
  }
};

const Error no_answer{Errc::not_found, "no answer"};

}  // namespace

TEST_CASE("a gateway's name is asked for as this host asks for names, and beside that when nothing comes of it") {
  Names world;
  const auto names = world.make();
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.1")});
  CHECK(world.num_beside == 0);
  world.system = std::unexpected(no_answer);
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.2")});
}

TEST_CASE("while this host asks the servers of a tunnel those beside it come first, but for names of /etc/hosts") {
  Names world;
  const auto names = world.make();
  names->set_tunnel_servers({ip("10.2.0.2")});
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.2")});
  CHECK(world.num_system == 0);
  world.beside = Addresses{};
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.1")});
  world.beside = Addresses{ip("192.0.2.2")};
  write(world.dir.path() / "hosts", "127.0.0.1 localhost\n192.0.2.1 other GW.example # mine\n");
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.1")});
  write(world.dir.path() / "hosts", "192.0.2.1 other # gw.example\n");
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.2")});
  names->set_tunnel_servers({});
  CHECK(names->look_up("gw.example").value() == Addresses{ip("192.0.2.1")});
}

TEST_CASE("when nobody knows a name the last addresses are the answer, also in the next process") {
  Names world;
  CHECK(world.make()->look_up("gw.example"));
  world.system = world.beside = std::unexpected(no_answer);
  CHECK(world.make()->look_up("gw.example").value() == Addresses{ip("192.0.2.1")});
  CHECK_FALSE(world.make()->look_up("other.example"));
  CHECK(world.make()->look_up("2001:db8::1").value() == Addresses{ip("2001:db8::1")});
}

TEST_CASE("the servers beside the tunnel stand in the files of resolvers; not itself, not loopback, not the tunnel's") {
  const test::TempDir dir;
  const DnsPlaces places{dir.path() / "resolv.conf", dir.path() / "resolve" / "stub-resolv.conf",
                         dir.path() / "interface"};
  CHECK(servers_beside({}, places).empty());
  write(places.resolv_conf, "# culvert\nnameserver 10.2.0.2\n");
  write(places.saved(),
        "search home\nnameserver 192.0.2.53\nnameserver 127.0.0.53\nnameserver\nnameserver x\nname 192.0.2.9\n");
  CHECK(servers_beside({ip("10.2.0.2")}, places) == Addresses{ip("192.0.2.53")});
  write(dir.path() / "resolve" / "resolv.conf",
        "nameserver 10.2.0.2\nnameserver 2001:db8::53\nnameserver 192.0.2.53\n");
  write(places.resolvconf / "eth0.dhclient", "nameserver 198.51.100.53\n");
  CHECK(servers_beside({ip("10.2.0.2")}, places) ==
        Addresses{ip("192.0.2.53"), ip("2001:db8::53"), ip("198.51.100.53")});
  for (int i = 0; i < 9; ++i)
    write(places.resolvconf / std::to_string(i), "nameserver 192.0.2." + std::to_string(60 + i));
  CHECK(servers_beside({}, places).size() == 4);
}
