// The configuration loader: any text is either a whole configuration or a list of mistakes, in the order of the file,
// each on one line. Start from conf/ with the dictionary: fuzz_toml -dict=tests/fuzz/toml.dict WORK conf
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "culvert/config/config.h"
#include "culvert/crypto/private_key.h"

using namespace culvert;

namespace {

/// A folder with the secrets that the examples of conf/ name, gone at the end of the process.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
    for (const auto* key : {"site.psk", "tokyo.psk", "osaka.psk", "van.psk", "k"}) {
      std::ofstream(path_ / key) << "a key of enough bytes\n";
      std::filesystem::permissions(path_ / key, std::filesystem::perms::owner_read);
    }
    const auto raw_key = crypto::PrivateKey::generate({crypto::KeyType::ed25519, 0});
    std::ofstream(path_ / "gateway.key") << as_text(raw_key->to_pem(Secret())->view());
    std::filesystem::permissions(path_ / "gateway.key", std::filesystem::perms::owner_read);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::filesystem::path file() const { return path_ / "gw.toml"; }

 private:
  std::filesystem::path path_;
};

void require(bool holds) {
  if (!holds) std::abort();
}

void check_diagnostics(const std::vector<config::Diagnostic>& list) {
  const auto before = [](const config::Diagnostic& a, const config::Diagnostic& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  };
  require(std::ranges::is_sorted(list, before));
  for (const auto& diagnostic : list) {
    const std::string line = diagnostic.to_string();
    require(!diagnostic.message.empty());
    require(std::ranges::none_of(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
  }
}

void check_config(const config::Config& config) {
  for (const auto& peer : config.peers) {
    const auto* raw_key = std::get_if<ike::OwnRawKey>(&peer.auth.ours);
    require(raw_key ? raw_key->key != nullptr : peer.auth.our_psk() && !peer.auth.our_psk()->empty());
    const auto* their_keys = std::get_if<ike::PeerRawKey>(&peer.auth.theirs);
    require(their_keys ? !their_keys->keys.empty() : peer.auth.peer_psk() && !peer.auth.peer_psk()->empty());
    require(!peer.children.empty() && !peer.local_id.data.empty() && !peer.remote_id.data.empty());
    require(!peer.ike_proposals.empty() && !peer.esp_proposals.empty());
    require(!peer.remote_id.matches(peer.local_id));
    for (const auto& child : peer.children) require(!child.local.empty() && !child.remote.empty());
  }
  for (const auto& settings : config.tunnels) {
    require(settings.peer.value() < config.peers.size());
    require(!settings.plane.device.empty() && settings.plane.device.size() <= 15);
    const auto& children = config.peers[settings.peer.value()].children;
    require(std::ranges::find(children, settings.plane.child, &ike::ChildConfig::id) != children.end());
  }
  check_diagnostics(config.warnings);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  const auto config = config::parse({reinterpret_cast<const char*>(data), size}, folder.file());
  if (config) {
    check_config(*config);
  } else {
    require(!config.error().empty());
    check_diagnostics(config.error());
  }
  return 0;
}
