#include "dns_query.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "client_dns.h"

namespace culvert::daemon {
namespace {

constexpr std::uint16_t type_a = 1, type_aaaa = 28, class_in = 1;
constexpr std::uint16_t recursion_desired = 0x0100;
constexpr std::uint16_t is_response = 0x8000, opcode_mask = 0x7800, is_truncated = 0x0200, rcode_mask = 0x000f;
constexpr std::size_t header_len = 12, max_addresses = 16, max_datagram_len = 4096;
constexpr std::uint16_t dns_port = 53;

/// A name of a resource record: labels to an empty one, or to a pointer, which ends it (RFC 1035 §4.1.4).
bool skip_name(Reader& reader) {
  for (;;) {
    const auto len = reader.u8();
    if (!len) return false;
    if (*len == 0) return true;
    if ((*len & 0xc0) == 0xc0) return reader.skip(1);
    if (*len > 63 || !reader.skip(*len)) return false;
  }
}

std::unexpected<Error> malformed() {
  return fail(Errc::malformed, "the name server's answer is malformed");
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

bool connect_to(int fd, const IpAddress& server) {
  if (server.is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(dns_port);
    std::memcpy(&address.sin_addr, server.bytes().data(), sizeof address.sin_addr);
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(dns_port);
  std::memcpy(&address.sin6_addr, server.bytes().data(), sizeof address.sin6_addr);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// Until each query has its answer. What answers none of them is passed over: anybody can send it.
Result<std::vector<IpAddress>> collect(int fd, std::array<Bytes, 2> queries, Duration patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::vector<IpAddress> addresses;
  std::optional<Error> refused;
  std::array<std::uint8_t, max_datagram_len> buffer;
  while (std::ranges::any_of(queries, [](const Bytes& query) { return !query.empty(); })) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd waiting{fd, POLLIN, 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) <= 0) break;
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0) return fail(Errc::io, std::strerror(errno), errno);
    for (Bytes& query : queries) {
      if (query.empty()) continue;
      auto answer = dns_answer({buffer.data(), static_cast<std::size_t>(got)}, query);
      if (!answer && answer.error().code == Errc::no_match) continue;
      if (answer)
        addresses.insert(addresses.end(), answer->begin(), answer->end());
      else
        refused = answer.error();
      query.clear();
    }
  }
  if (!addresses.empty()) return addresses;
  if (refused) return std::unexpected(*refused);
  return fail(Errc::not_found, "no answer with an address");
}

}  // namespace

Result<Bytes> dns_query(std::uint16_t id, std::string_view name, IpFamily family) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!is_dns_name(name)) return fail(Errc::invalid, "not a host name");
  Bytes query;
  Writer writer(query);
  writer.u16(id);
  writer.u16(recursion_desired);
  writer.u16(1);  // questions
  writer.zeros(6);
  for (std::size_t from = 0; from <= name.size();) {
    const std::string_view label = name.substr(from, name.find('.', from) - from);
    writer.u8(static_cast<std::uint8_t>(label.size()));
    writer.bytes(as_bytes(label));
    from += label.size() + 1;
  }
  writer.u8(0);
  writer.u16(family == IpFamily::v4 ? type_a : type_aaaa);
  writer.u16(class_in);
  return query;
}

/// RFC 1035 §4.1: header, the question as we have put it, answers. Names of answers are not followed from alias to
/// alias: the server has done that.
Result<std::vector<IpAddress>> dns_answer(ByteView datagram, ByteView query) {
  const ByteView question = query.subspan(header_len);
  Reader reader(datagram);
  const auto id = reader.u16(), flags = reader.u16(), num_questions = reader.u16(), num_answers = reader.u16();
  if (!id || !flags || !num_questions || !num_answers || !reader.skip(4)) return malformed();
  if (*id != load_be<std::uint16_t>(query.data()) || !(*flags & is_response) || (*flags & opcode_mask) != 0)
    return fail(Errc::no_match, "another answer");
  // An error may come without the question.
  if (*num_questions == 1) {
    const auto said = reader.take(question.size());
    if (!said || !std::ranges::equal(*said, question)) return fail(Errc::no_match, "an answer to another question");
  } else if (*num_questions != 0 || (*flags & rcode_mask) == 0) {
    return malformed();
  }
  if ((*flags & rcode_mask) != 0)
    return fail(Errc::not_found, fmt::format("the name server says: error {}", *flags & rcode_mask));
  if (*flags & is_truncated) return fail(Errc::not_found, "the name server's answer is too long");
  const auto wanted = load_be<std::uint16_t>(question.data() + question.size() - 4);
  const std::size_t wanted_len = wanted == type_a ? 4 : 16;
  std::vector<IpAddress> addresses;
  for (std::uint16_t i = 0; i < *num_answers && addresses.size() < max_addresses; ++i) {
    if (!skip_name(reader)) return malformed();
    const auto type = reader.u16(), record_class = reader.u16();
    if (!type || !record_class || !reader.skip(4)) return malformed();  // TTL
    const auto len = reader.u16();
    const auto data = len ? reader.take(*len) : std::nullopt;
    if (!data) return malformed();
    if (*type != wanted || *record_class != class_in) continue;
    const auto address = *len == wanted_len ? IpAddress::from_bytes(*data) : std::nullopt;
    if (!address) return malformed();
    addresses.push_back(*address);
  }
  return addresses;
}

Result<std::vector<IpAddress>> ask_name_server(const IpAddress& server, std::string_view name, std::uint32_t mark,
                                               Duration patience) {
  const auto first_id = static_cast<std::uint16_t>(randombytes_uniform(0x10000));
  auto v4 = dns_query(first_id, name, IpFamily::v4);
  auto v6 = dns_query(static_cast<std::uint16_t>(first_id + 1), name, IpFamily::v6);
  if (!v4 || !v6) return fail(Errc::invalid, "not a host name");
  const Socket socket(::socket(server.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const bool ready = socket.fd() >= 0 &&
                     (mark == 0 || ::setsockopt(socket.fd(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0) &&
                     connect_to(socket.fd(), server) && ::send(socket.fd(), v4->data(), v4->size(), 0) >= 0 &&
                     ::send(socket.fd(), v6->data(), v6->size(), 0) >= 0;
  if (!ready) return fail(Errc::io, fmt::format("{}: {}", server.to_string(), std::strerror(errno)), errno);
  return collect(socket.fd(), {std::move(*v4), std::move(*v6)}, patience);
}

}  // namespace culvert::daemon
