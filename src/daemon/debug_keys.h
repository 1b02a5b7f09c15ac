#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "culvert/base/result.h"
#include "culvert/child_sa.h"
#include "culvert/ike/endpoint.h"

namespace culvert::daemon {

/// `culvertd --debug-keys FILE`: appends the keys of every IKE SA and every pair of ESP SAs as one tshark option a
/// line, to be given as it stands: tshark -o "LINE". Whoever reads FILE reads the traffic. Control thread.
class DebugKeys {
 public:
  /// Makes FILE with mode 0600; an existing one must be a regular file of ours that nobody else can read. Says so
  /// loudly in the log.
  [[nodiscard]] static Result<DebugKeys> open(const std::filesystem::path& file);
  DebugKeys(DebugKeys&& other) noexcept;
  DebugKeys& operator=(DebugKeys&&) = delete;
  ~DebugKeys();

  void add(const ike::DebugIkeKeys& keys) const;
  void add(const ChildSaKeys& keys) const;

 private:
  explicit DebugKeys(int fd) noexcept : fd_(fd) {}
  void append(const std::string& line) const;
  int fd_ = -1;
};

/// The lines, with names as tshark 4.0 knows them; nullopt for a suite that it cannot open (ChaCha20-Poly1305). Without
/// an integrity key the ICV goes unchecked.
[[nodiscard]] std::optional<std::string> tshark_ike_line(const ike::DebugIkeKeys& keys);
[[nodiscard]] std::optional<std::string> tshark_esp_line(IpFamily outer, Spi spi, crypto::CipherSuite suite,
                                                         const DirectionKeys& keys);

}  // namespace culvert::daemon
