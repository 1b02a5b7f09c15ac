#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "culvert/base/result.h"
#include "wireshark_profile.h"

namespace culvert::cli {

/// Gets the keys of SAs from culvertd while it lives, and puts them where Wireshark looks for them. One thread.
class KeyFetcher {
 public:
  /// Asks for the keys of `name` (empty: all) for so many seconds; the folder is made, and has those of the SAs that
  /// there are. The error is a sentence for people: culvertd refuses, the folder cannot be made.
  [[nodiscard]] static Result<KeyFetcher> begin(const std::filesystem::path& socket, const std::string& name,
                                                unsigned seconds, const std::filesystem::path& folder);
  KeyFetcher(KeyFetcher&& other) noexcept : socket_(std::move(other.socket_)), profile_(std::move(other.profile_)) {
    other.profile_.reset();
  }
  KeyFetcher& operator=(KeyFetcher&&) = delete;
  ~KeyFetcher();  ///< culvertd is told that no more are wanted

  /// What is new. False: culvertd gives none any more. Errc::io: the folder.
  [[nodiscard]] Result<bool> fetch();
  /// Nothing was captured: the folder goes.
  void discard() noexcept { profile_->remove(); }
  [[nodiscard]] const WiresharkProfile& profile() const noexcept { return *profile_; }

 private:
  explicit KeyFetcher(std::filesystem::path socket) : socket_(std::move(socket)) {}

  std::filesystem::path socket_;
  std::optional<WiresharkProfile> profile_;
};

}  // namespace culvert::cli
