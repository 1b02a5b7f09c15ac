#pragma once
// A client and a server of EAP, each answering the other in turn.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "culvert/crypto/random.h"
#include "culvert/eap/client.h"
#include "culvert/eap/mschapv2.h"
#include "culvert/eap/server.h"

namespace culvert::eap::test {

/// Counts up: reproducible.
class CountingRandom : public crypto::RandomSource {
 public:
  void fill(MutableByteView out) override {
    for (std::uint8_t& byte : out) byte = ++last_;
  }

 private:
  std::uint8_t last_ = 0;
};

class Users : public UserSource {
 public:
  void add(const std::string& name, std::string_view password, std::string group = {}) {
    users_[name] = std::make_shared<User>(User{name, std::move(group), nt_password_hash(as_bytes(password)).value()});
  }
  std::shared_ptr<const User> find(std::string_view name) override {
    asked.emplace_back(name);
    const auto found = users_.find(std::string(name));
    return found == users_.end() ? nullptr : found->second;
  }
  std::vector<std::string> asked;

 private:
  std::map<std::string, std::shared_ptr<const User>> users_;
};

inline std::shared_ptr<const Secret> nt_hash(std::string_view password) {
  return std::make_shared<const Secret>(nt_password_hash(as_bytes(password)).value());
}

struct Ending {
  Step client, server;
  int packets = 0;
  std::size_t longest = 0;
};

/// Runs until either ends, at most 200 packets.
inline Ending run(Server& server, Client& client, crypto::WallTime now) {
  Ending ending;
  Bytes request = server.start();
  for (; ending.packets < 200; ending.packets += 2) {
    ending.longest = std::max(ending.longest, request.size());
    ending.client = client.on_packet(request, now);
    if (ending.client.kind != Step::Kind::send) return ending;
    ending.longest = std::max(ending.longest, ending.client.packet.size());
    ending.server = server.on_response(ending.client.packet, now);
    request = ending.server.packet;
  }
  return ending;
}

}  // namespace culvert::eap::test
