#pragma once
#include <memory>
#include <mutex>
#include <utility>

namespace culvert::crypto {
enum class RevocationPolicy : unsigned char;
struct RevocationData;
}  // namespace culvert::crypto

namespace culvert::ike {

/// What is known about revoked certificates below one set of CAs. The daemon publishes a new snapshot when a CRL was
/// read or fetched, or an OCSP response came; verification takes the latest one. Thread-safe.
class RevocationFeed {
 public:
  RevocationFeed(crypto::RevocationPolicy policy, bool asks_ocsp) noexcept : policy_(policy), asks_ocsp_(asks_ocsp) {}

  [[nodiscard]] crypto::RevocationPolicy policy() const noexcept { return policy_; }
  /// The operator named a responder: a chain that holds is asked for (CheckRevocation) before it counts.
  [[nodiscard]] bool asks_ocsp() const noexcept { return asks_ocsp_; }

  /// nullptr: nothing is known yet.
  [[nodiscard]] std::shared_ptr<const crypto::RevocationData> snapshot() const {
    const std::lock_guard lock(mutex_);
    return data_;
  }
  void publish(std::shared_ptr<const crypto::RevocationData> data) {
    const std::lock_guard lock(mutex_);
    data_ = std::move(data);
  }

 private:
  const crypto::RevocationPolicy policy_;
  const bool asks_ocsp_;
  mutable std::mutex mutex_;
  std::shared_ptr<const crypto::RevocationData> data_;
};

}  // namespace culvert::ike
