#include "raw_esp_linux.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace culvert::tunnel {

std::string RawEspSocket::name(const IpAddress& local) {
  std::string address = local.to_string();
  std::ranges::replace(address, ':', '_');
  return "esp." + address;
}

Result<RawEspSocket> RawEspSocket::open(const IpAddress& local, KeptDescriptors& kept) {
  const auto failed = [&](const char* what, int error) {
    const char* hint = error == EPERM ? "; needs root or CAP_NET_RAW" : "";
    return fail(Errc::io, "raw ESP " + local.to_string() + what + ": " + std::strerror(error) + hint, error);
  };
  const IpFamily family = local.family();
  FileDescriptor fd(kept.take(name(local)));
  const bool is_new = !fd;
  if (is_new)
    fd = FileDescriptor(
      ::socket(family == IpFamily::v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ESP));
  if (!fd) return failed("", errno);
  if (const auto prepared = prepare_socket(fd.get(), family); !prepared) {
    return failed((": " + prepared.error().detail).c_str(), prepared.error().system_error);
  }
  if (!is_new) return RawEspSocket(std::move(fd), local);
  sockaddr_storage address;
  const socklen_t address_len = to_sockaddr({local, 0}, address);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), address_len) != 0) return failed("", errno);
  return RawEspSocket(std::move(fd), local);
}

std::size_t ipv4_header_len(ByteView packet) noexcept {
  if (packet.size() < 20 || packet[0] >> 4 != 4) return 0;
  const std::size_t header_len = static_cast<std::size_t>(packet[0] & 0x0F) * 4;
  return header_len >= 20 && header_len <= packet.size() ? header_len : 0;
}

std::size_t RawEspSocket::receive_batch(SocketBatch& batch, std::span<ReceiveSlot> slots) const noexcept {
  const std::size_t received = batch.receive(fd_.get(), slots);
  for (ReceiveSlot& slot : slots.first(received)) {
    slot.remote.port = 0;
    if (!local_.is_v4()) continue;
    const std::size_t header_len = slot.truncated ? 0 : ipv4_header_len(slot.buffer.first(slot.len));
    if (header_len == 0) {
      slot.len = 0;
      continue;
    }
    slot.tos = slot.buffer[1];
    slot.buffer = slot.buffer.subspan(header_len);
    slot.len -= header_len;
  }
  return received;
}

std::size_t RawEspSocket::send_batch(SocketBatch& batch, std::span<SendItem> items) const noexcept {
  // A port would be the protocol number to an IPv6 raw socket, which refuses any but its own.
  for (SendItem& item : items) item.remote.port = 0;
  return batch.send(fd_.get(), local_.family(), Segmentation::none, items);
}

}  // namespace culvert::tunnel
