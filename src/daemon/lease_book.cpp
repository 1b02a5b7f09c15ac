#include "lease_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace culvert::daemon {
namespace {

constexpr const char* leases_name = "leases";
constexpr std::size_t max_file_len = 32U << 20;
constexpr std::size_t max_id_len = 1024;  // Identity::parse allows no more
constexpr std::int64_t pause_s = 5;

std::string_view next_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

std::optional<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0 || text.size() > 2 * max_id_len) return std::nullopt;
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    std::uint8_t byte = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    if (error != std::errc{} || end != text.data() + i + 2) return std::nullopt;
    bytes.push_back(byte);
  }
  return bytes;
}

std::optional<ike::Lease> read_line(std::string_view line) {
  ike::Lease lease;
  lease.pool = next_word(line);
  const auto address = IpAddress::parse(next_word(line));
  const std::string_view type = next_word(line);
  const auto data = from_hex(line);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(type.data(), type.data() + type.size(), number);
  const bool sound = !lease.pool.empty() && address && data && error == std::errc{} &&
                     end == type.data() + type.size() && number > 0 && number < 256;
  if (!sound) return std::nullopt;
  lease.address = *address;
  lease.user = {static_cast<ike::IdType>(number), *data};
  return lease;
}

}  // namespace

std::string LeaseBook::to_text(const std::vector<ike::Lease>& leases) {
  std::string text;
  for (const ike::Lease& lease : leases) {
    fmt::format_to(std::back_inserter(text), "{} {} {} ", lease.pool, lease.address.to_string(),
                   static_cast<unsigned>(lease.user.type));
    for (const std::uint8_t byte : lease.user.data) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
    text += '\n';
  }
  return text;
}

std::vector<ike::Lease> LeaseBook::from_text(std::string_view text) {
  std::vector<ike::Lease> leases;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (auto lease = read_line(text.substr(0, end))) leases.push_back(std::move(*lease));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return leases;
}

std::vector<ike::Lease> LeaseBook::load(const StateDir& state, const std::vector<ike::PoolConfig>& pools) {
  const Secret content = state.kept_secret(leases_name, max_file_len);
  const ByteView bytes = content.view();
  std::vector<ike::Lease> leases = from_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  const auto others = std::ranges::stable_partition(leases, [&](const ike::Lease& lease) {
    return std::ranges::find(pools, lease.pool, &ike::PoolConfig::name) != pools.end();
  });
  others_ = to_text({others.begin(), others.end()});
  leases.erase(others.begin(), others.end());
  return leases;
}

Result<void> LeaseBook::save(const StateDir& state, std::int64_t now, bool at_once,
                             const std::function<std::vector<ike::Lease>()>& current) {
  if (!changed_ || (!at_once && now < saved_at_ + pause_s)) return {};
  saved_at_ = now;
  changed_ = false;
  const std::string text = to_text(current()) + others_;
  return state.keep_secret(leases_name, as_bytes(text));
}

}  // namespace culvert::daemon
