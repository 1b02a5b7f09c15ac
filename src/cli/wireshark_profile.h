#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::cli {

/// A folder (0700) that Wireshark and tshark take for their configuration (WIRESHARK_CONFIG_DIR), with the tables of
/// keys by which they open ESP and IKEv2: files of mode 0600. One thread.
class WiresharkProfile {
 public:
  /// Errc::invalid: something is there already. Errc::io.
  [[nodiscard]] static Result<WiresharkProfile> create(const std::filesystem::path& folder);

  /// Options of tshark as culvertd gives them: `uat:esp_sa:…`, `uat:ikev2_decryption_table:…`; others are refused
  /// (Errc::malformed), and so is what is no row of one line. Each row is written once. Errc::io.
  [[nodiscard]] Result<void> add(const std::vector<std::string>& options);
  /// The folder and the files in it that are ours.
  void remove() noexcept;
  [[nodiscard]] std::size_t num_rows() const noexcept { return known_.size(); }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  explicit WiresharkProfile(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
  std::set<std::size_t> known_;  ///< hashes: what is kept of a key here is in the files alone
};

}  // namespace culvert::cli
