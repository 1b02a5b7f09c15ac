#include "doctor_host.h"

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "culvert/base/bytes.h"

namespace culvert::cli {
namespace {

constexpr std::size_t max_text = 1u << 20;
constexpr std::size_t ike_header_len = 28, marker_len = 4, udp_header_len = 8;
constexpr int max_tries = 3;

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

socklen_t to_sockaddr(const Endpoint& endpoint, sockaddr_storage& storage) {
  std::memset(&storage, 0, sizeof storage);
  const ByteView bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    auto& to = reinterpret_cast<sockaddr_in&>(storage);
    to.sin_family = AF_INET;
    to.sin_port = htons(endpoint.port);
    std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
    return sizeof to;
  }
  auto& to = reinterpret_cast<sockaddr_in6&>(storage);
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(endpoint.port);
  std::memcpy(&to.sin6_addr, bytes.data(), bytes.size());
  return sizeof to;
}

std::optional<IpAddress> to_address(const sockaddr* from) {
  if (from == nullptr) return std::nullopt;
  if (from->sa_family == AF_INET) {
    const auto& v4 = *reinterpret_cast<const sockaddr_in*>(from);
    return IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&v4.sin_addr), 4});
  }
  if (from->sa_family != AF_INET6) return std::nullopt;
  const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(from);
  return IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&v6.sin6_addr), 16});
}

std::uint8_t prefix_length(const sockaddr* mask) {
  const auto address = to_address(mask);
  int length = 0;
  if (address)
    for (const std::uint8_t byte : address->bytes()) length += std::popcount(byte);
  return static_cast<std::uint8_t>(length);
}

/// RFC 7296 §3.1: SPIi | SPIr | next payload | version | exchange type | flags | message ID | length. The major version
/// is 3; IKE_SA_INIT, the initiator's.
Bytes foreign_ike(std::size_t len, bool marker, std::uint8_t serial) {
  const std::size_t before = marker ? marker_len : 0;
  Bytes bytes(std::max(len, ike_header_len + before));
  std::uint8_t* header = bytes.data() + before;
  std::memcpy(header, "doctor\0", 7);
  header[7] = serial;
  header[17] = 0x30;
  header[18] = 34;
  header[19] = 0x08;
  store_be(header + 24, static_cast<std::uint32_t>(bytes.size() - before));
  return bytes;
}

class ThisHost : public Host {
 public:
  std::optional<std::string> read(const std::string& file) override {
    std::ifstream in(file, std::ios::binary);
    if (!in) return std::nullopt;
    std::string text(max_text, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
    return text;
  }

  std::optional<FileFacts> look_at(const std::string& file) override {
    struct stat facts {};
    if (::stat(file.c_str(), &facts) != 0) return std::nullopt;
    return FileFacts{facts.st_mode & 07777u, facts.st_uid,
                     std::chrono::sys_seconds(std::chrono::seconds(facts.st_mtime)), S_ISDIR(facts.st_mode)};
  }

  std::vector<AddressFacts> addresses() override {
    std::vector<AddressFacts> all;
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return all;
    for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next)
      if (const auto address = to_address(one->ifa_addr))
        all.push_back({one->ifa_name, {*address, prefix_length(one->ifa_netmask)}});
    ::freeifaddrs(first);
    return all;
  }

  std::string firewall() override {
    std::FILE* pipe = ::popen("nft list ruleset 2>/dev/null", "re");
    if (pipe == nullptr) return {};
    std::string text;
    std::array<char, 4096> chunk;
    for (std::size_t got; text.size() < max_text && (got = std::fread(chunk.data(), 1, chunk.size(), pipe)) > 0;)
      text.append(chunk.data(), got);
    ::pclose(pipe);
    return text;
  }

  std::vector<IpAddress> resolve(const std::string& name, std::string& why) override {
    addrinfo wanted{}, *first = nullptr;
    wanted.ai_socktype = SOCK_DGRAM;
    std::vector<IpAddress> found;
    if (const int error = ::getaddrinfo(name.c_str(), nullptr, &wanted, &first); error != 0) {
      why = ::gai_strerror(error);
      return found;
    }
    for (const addrinfo* one = first; one != nullptr; one = one->ai_next)
      if (const auto address = to_address(one->ai_addr)) found.push_back(*address);
    ::freeaddrinfo(first);
    return found;
  }

  std::chrono::sys_seconds now() override {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }

  std::optional<bool> clock_is_synchronized() override {
    timex question{};
    const int state = ::adjtimex(&question);
    return state < 0 ? std::nullopt : std::optional((question.status & STA_UNSYNC) == 0);
  }

  IkeAnswer ask_ike(const Endpoint& remote, bool marker, std::size_t len, std::chrono::milliseconds patience) override;
  std::optional<bool> offload(const std::string& device, std::string_view feature) override;

  bool write(const std::string& file, const std::string& value) override {
    std::ofstream out(file);
    out << value << std::flush;
    return static_cast<bool>(out);
  }
  bool set_mode(const std::string& file, std::uint32_t mode) override { return ::chmod(file.c_str(), mode) == 0; }

 private:
  static IkeAnswer heard(int error);
};

IkeAnswer ThisHost::heard(int error) {
  if (error == ECONNREFUSED) return IkeAnswer::refused;
  if (error == EMSGSIZE) return IkeAnswer::too_large;
  return error == EHOSTUNREACH || error == ENETUNREACH ? IkeAnswer::unreachable : IkeAnswer::silence;
}

/// The socket is connected, so that ICMP errors come back, and nobody else's packets.
IkeAnswer ThisHost::ask_ike(const Endpoint& remote, bool marker, std::size_t len, std::chrono::milliseconds patience) {
  const bool v4 = remote.address.is_v4();
  const Descriptor socket(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // DF, and whatever ICMP has made the kernel believe about the path does not count
  const int probe = v4 ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE;
  ::setsockopt(socket.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &probe,
               sizeof probe);
  sockaddr_storage to;
  const socklen_t to_len = to_sockaddr(remote, to);
  if (socket.get() < 0 || ::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), to_len) != 0) return heard(errno);
  const std::size_t overhead = (v4 ? 20 : 40) + udp_header_len;
  IkeAnswer last = IkeAnswer::silence;
  for (int attempt = 0; attempt < max_tries; ++attempt) {
    const Bytes question = foreign_ike(len > overhead ? len - overhead : 0, marker, static_cast<std::uint8_t>(attempt));
    if (::send(socket.get(), question.data(), question.size(), 0) < 0) {
      last = heard(errno);
      if (last == IkeAnswer::too_large) return last;
    }
    pollfd waiting{socket.get(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count() / max_tries)) <= 0) continue;
    std::array<std::uint8_t, 2048> answer;
    const ssize_t got = ::recv(socket.get(), answer.data(), answer.size(), 0);
    if (got >= static_cast<ssize_t>(ike_header_len)) return IkeAnswer::answered;
    if (got < 0) last = heard(errno);
  }
  return last;
}

/// ethtool's two ways: names with bits for features, and GRO with a command of its own.
std::optional<bool> ThisHost::offload(const std::string& device, std::string_view feature) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  if (socket.get() < 0 || device.size() >= sizeof request.ifr_name) return std::nullopt;
  device.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const auto ask = [&](void* command) {
    request.ifr_data = static_cast<char*>(command);
    return ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0;
  };
  std::array<std::uint64_t, sizeof(ethtool_sset_info) / 8 + 2> sets_room{};
  auto* sets = reinterpret_cast<ethtool_sset_info*>(sets_room.data());
  sets->cmd = ETHTOOL_GSSET_INFO;
  sets->sset_mask = 1ull << ETH_SS_FEATURES;
  if (!ask(sets)) return std::nullopt;
  const std::uint32_t count = sets->data[0];
  if (count == 0 || count > 1024) return std::nullopt;
  std::vector<std::uint32_t> names_room((sizeof(ethtool_gstrings) + count * ETH_GSTRING_LEN + 3) / 4);
  auto* names = reinterpret_cast<ethtool_gstrings*>(names_room.data());
  names->cmd = ETHTOOL_GSTRINGS;
  names->string_set = ETH_SS_FEATURES;
  names->len = count;
  const std::size_t blocks = (count + 31) / 32;
  std::vector<std::uint32_t> bits_room((sizeof(ethtool_gfeatures) + blocks * sizeof(ethtool_get_features_block)) / 4 +
                                       1);
  auto* bits = reinterpret_cast<ethtool_gfeatures*>(bits_room.data());
  bits->cmd = ETHTOOL_GFEATURES;
  bits->size = static_cast<std::uint32_t>(blocks);
  if (!ask(names) || !ask(bits)) return std::nullopt;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto* name = reinterpret_cast<const char*>(names->data + std::size_t(i) * ETH_GSTRING_LEN);
    if (std::string_view(name, ::strnlen(name, ETH_GSTRING_LEN)) != feature) continue;
    return (bits->features[i / 32].active >> (i % 32) & 1u) != 0;
  }
  return std::nullopt;
}

}  // namespace

std::unique_ptr<Host> this_host() {
  return std::make_unique<ThisHost>();
}

}  // namespace culvert::cli
