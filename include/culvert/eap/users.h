#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "culvert/crypto/certificate.h"
#include "culvert/eap/server.h"

namespace culvert::eap {

/// One entry of the operator's file of users.
struct UserEntry {
  std::shared_ptr<const User> user;  ///< nt_hash empty: no password, for users of EAP-TLS
  bool enabled = true;
  std::optional<crypto::WallTime> until;  ///< may log in before this

  [[nodiscard]] bool may_log_in(crypto::WallTime now) const noexcept { return enabled && (!until || now < *until); }
};

/// All of them: one immutable snapshot, any thread.
class UserTable {
 public:
  explicit UserTable(std::map<std::string, UserEntry, std::less<>> entries) : entries_(std::move(entries)) {}
  [[nodiscard]] const UserEntry* find(std::string_view name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  std::map<std::string, UserEntry, std::less<>> entries_;
};

}  // namespace culvert::eap
