#include "key_fetcher.h"

#include <fmt/format.h>

#include <chrono>

#include "client.h"
#include "culvert/base/text.h"

namespace culvert::cli {
namespace {

/// A gateway that is busy shall not keep us from the packets for long.
constexpr std::chrono::seconds short_timeout{1};

}  // namespace

Result<KeyFetcher> KeyFetcher::begin(const std::filesystem::path& socket, const std::string& name, unsigned seconds,
                                     const std::filesystem::path& folder) {
  auto response = ask(socket, {"keys", name, fmt::format("{}", seconds)});
  if (!response) return std::unexpected(response.error());
  if (!response->ok || !response->keys) return fail(Errc::invalid, printable(response->error));
  KeyFetcher fetcher(socket);
  auto profile = WiresharkProfile::create(folder);
  if (profile) fetcher.profile_.emplace(std::move(*profile));
  if (!profile) {
    [[maybe_unused]] const auto told = ask(socket, {"keys", "", "stop"}, short_timeout);
    return std::unexpected(profile.error());
  }
  if (auto added = fetcher.profile_->add(*response->keys); !added) return std::unexpected(added.error());
  return fetcher;
}

KeyFetcher::~KeyFetcher() {
  if (profile_) [[maybe_unused]]
    const auto told = ask(socket_, {"keys", "", "stop"}, short_timeout);
}

Result<bool> KeyFetcher::fetch() {
  const auto response = ask(socket_, {"keys", "", "more"}, short_timeout);
  if (!response) return true;  // it may only be busy
  if (!response->ok || !response->keys) return false;
  if (auto added = profile_->add(*response->keys); !added) return std::unexpected(added.error());
  return true;
}

}  // namespace culvert::cli
