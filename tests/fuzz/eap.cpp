// What a peer sends inside EAP payloads: the packet, MSCHAPv2, and fragments of EAP-TLS. The input is cut into packets
// at its own length bytes; the first byte says which end reads them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "culvert/eap/client.h"
#include "culvert/eap/mschapv2.h"
#include "culvert/eap/server.h"
#include "tls_fragments.h"

using namespace culvert;

namespace {

class Nobody : public eap::UserSource {
 public:
  std::shared_ptr<const eap::User> find(std::string_view) override { return nullptr; }
};

/// What is correct in a packet that would not reach anything otherwise.
Bytes repaired(ByteView packet, eap::Code code, std::uint8_t identifier) {
  Bytes bytes(packet.begin(), packet.end());
  if (bytes.size() < 5) return bytes;
  if (bytes[0] & 1) bytes[0] = static_cast<std::uint8_t>(code);
  if (bytes[1] & 1) bytes[1] = identifier;
  store_be(bytes.data() + 2, static_cast<std::uint16_t>(bytes.size()));
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader reader(ByteView(data, size));
  const auto which = reader.u8();
  if (!which) return 0;
  static const auto config = std::make_shared<eap::ServerConfig>(eap::ServerConfig{{eap::Type::mschapv2}, nullptr, 3});
  static const auto users = std::make_shared<Nobody>();
  static const auto hash = std::make_shared<const Secret>(eap::nt_password_hash(as_bytes("secret")).value());
  static const auto client_config =
      std::make_shared<eap::ClientConfig>(eap::ClientConfig{eap::Type::mschapv2, "carol", hash, nullptr});
  eap::Server server(config, users, crypto::system_random());
  eap::Client client(client_config, crypto::system_random());
  eap::TlsFragments fragments;
  Bytes last = server.start();
  while (const auto len = reader.u8()) {
    const auto part = reader.take(std::min<std::size_t>(*len, reader.remaining()));
    if (part->empty()) break;
    if (*which % 3 == 0) {
      const auto step = server.on_response(repaired(*part, eap::Code::response, last[1]), {});
      if (step.kind == eap::Step::Kind::succeeded) std::abort();  // nobody exists
      last = step.packet;
    } else if (*which % 3 == 1) {
      if (client.on_packet(repaired(*part, eap::Code::request, 1), {}).kind == eap::Step::Kind::succeeded) std::abort();
    } else if (fragments.take(*part) == eap::TlsFragments::In::complete &&
               fragments.message().size() > eap::TlsFragments::max_message) {
      std::abort();
    }
  }
  return 0;
}
