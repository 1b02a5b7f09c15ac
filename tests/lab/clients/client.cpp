#include "client.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "culvert/crypto/random.h"

namespace culvert::lab {
namespace {

constexpr std::size_t marker_len = 4;  // RFC 3948 §2.2: zeros before IKE, where ESP has its SPI
constexpr std::size_t ike_header_len = 28;
constexpr std::uint8_t informational = 37, response_flag = 0x20;  // RFC 7296 §3.1

sockaddr_in address_of(const Endpoint& end) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(end.port);
  std::memcpy(&at.sin_addr, end.address.bytes().data(), 4);
  return at;
}

int open_socket(const Endpoint& local) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const sockaddr_in at = address_of(local);
  if (fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return fd;
  fmt::print(stderr, "lab_clients: {}: {}\n", local.to_string(), std::strerror(errno));
  std::exit(1);
}

struct Header {
  std::uint64_t initiator = 0;
  std::uint8_t exchange = 0;
  bool is_response = false;
  std::uint32_t number = 0;
};

std::optional<Header> header_of(ByteView message) {
  if (message.size() < ike_header_len) return std::nullopt;
  return Header{load_be<std::uint64_t>(message.data()), message[18], (message[19] & response_flag) != 0,
                load_be<std::uint32_t>(message.data() + 20)};
}

}  // namespace

Client::Client(Config config, Counts& counts) : config_(std::move(config)), counts_(counts) {
  sockets_[0] = open_socket({config_.local, ike_port});
  sockets_[1] = open_socket({config_.local, nat_port});
}

Client::~Client() {
  for (const int fd : sockets_) ::close(fd);
}

void Client::call() {
  vanish();
  endpoint_ =
      std::make_unique<ike::IkeEndpoint>(ike::EndpointOptions{}, std::vector{config_.peer}, crypto::system_random());
  perform(endpoint_->start(Clock::now()));
  if (auto actions = endpoint_->up(Clock::now(), config_.peer.name)) perform(std::move(*actions));
}

void Client::leave() {
  if (!endpoint_) return;
  if (auto actions = endpoint_->down(Clock::now(), config_.peer.name)) perform(std::move(*actions));
}

void Client::vanish() {
  if (is_up()) ++counts_.went_down;
  endpoint_.reset();
  esp_.clear();
  addresses_.clear();
  numbers_of_ = 0;
}

bool Client::has_left() const {
  return !endpoint_ || (!is_up() && last_asked_ == last_answered_);
}

std::optional<TimePoint> Client::deadline() const {
  return endpoint_ ? endpoint_->deadline() : std::nullopt;
}

void Client::on_deadline() {
  if (endpoint_) perform(endpoint_->on_deadline(Clock::now()));
}

void Client::ping(const IpAddress& source, const IpAddress& target, std::uint16_t id) {
  if (esp_.empty()) return;
  send(nat_port, esp_.begin()->second.seal(Echo{source, target, false, id}.packet()), false);
}

// ---- what comes -----------------------------------------------------------------------------------------------------

void Client::on_readable(std::size_t which) {
  for (;;) {
    std::array<std::uint8_t, 4096> datagram;
    const ssize_t len = ::recv(sockets_[which], datagram.data(), datagram.size(), 0);
    if (len <= 0) return;  // also what ICMP has to say
    const ByteView bytes(datagram.data(), static_cast<std::size_t>(len));
    if (!endpoint_) continue;
    if (which == 0) {
      on_ike(ike_port, bytes);
    } else if (bytes.size() > marker_len && load_be<std::uint32_t>(bytes.data()) == 0) {
      on_ike(nat_port, bytes.subspan(marker_len));
    } else {
      on_esp(bytes);
    }
  }
}

void Client::on_ike(std::uint16_t port, ByteView message) {
  ++counts_.received;
  note_received(message);
  perform(endpoint_->on_datagram(Clock::now(), path(port), message));
}

void Client::on_esp(ByteView packet) {
  if (packet.size() < 8) return;
  const auto pair = esp_.find(Spi(load_be<std::uint32_t>(packet.data())));
  const auto inner = pair == esp_.end() ? std::nullopt : pair->second.open(packet);
  const auto echo = inner ? Echo::parse(*inner) : std::nullopt;
  const bool is_ours = echo && std::ranges::find(addresses_, echo->destination) != addresses_.end();
  ++(is_ours && echo->is_reply ? counts_.replies : counts_.misled);
}

// ---- what is to be done ---------------------------------------------------------------------------------------------

void Client::perform(ike::Actions actions) {
  for (ike::Action& action : actions) perform_one(action);
}

void Client::perform_one(ike::Action& action) {
  if (const auto* datagram = std::get_if<ike::SendDatagram>(&action)) {
    if (!datagram->keepalive) note_sent(datagram->bytes);
    const std::uint16_t port = datagram->path.local.port;
    send(port, datagram->bytes, port == nat_port && !datagram->keepalive);
  } else if (const auto* net = std::get_if<ike::UseVirtualNet>(&action)) {
    addresses_ = net->net ? net->net->addresses : std::vector<IpAddress>{};
  } else if (const auto* installed = std::get_if<ike::InstallChild>(&action)) {
    if (esp_.empty()) ++counts_.came_up;
    esp_.emplace(installed->keys.inbound_spi, EspPair(installed->keys));
  } else if (const auto* removed = std::get_if<ike::RemoveChild>(&action)) {
    if (esp_.erase(removed->inbound_spi) > 0 && esp_.empty()) ++counts_.went_down;
  } else if (const auto* wanted = std::get_if<ike::ResolveAddresses>(&action)) {
    perform(endpoint_->on_addresses(Clock::now(), wanted->peer, {path(ike_port)}, ""));
  } else if (const auto* find = std::get_if<ike::FindPaths>(&action)) {
    perform(endpoint_->on_paths(Clock::now(), find->peer, {path(nat_port)}));
  } else if (auto* compute = std::get_if<ike::Compute>(&action)) {
    auto result = compute->work(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    perform(endpoint_->on_computed(Clock::now(), compute->id, std::move(result)));
  } else if (const auto* report = std::get_if<ike::Report>(&action)) {
    static int num_reports = 0;
    if (report->level >= log::Level::warn && num_reports++ < 20) fmt::print(stderr, "{}\n", report->text);
  }
}

void Client::send(std::uint16_t port, ByteView bytes, bool marker) {
  Bytes datagram(marker ? marker_len : 0);
  datagram.insert(datagram.end(), bytes.begin(), bytes.end());
  const sockaddr_in to = address_of({config_.remote, port});
  (void)::sendto(sockets_[port == nat_port ? 1 : 0], datagram.data(), datagram.size(), 0,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

/// Liveness checks are the INFORMATIONAL exchanges between coming up and leaving. Each is counted once, however often
/// it is sent.
void Client::note_sent(ByteView message) {
  ++counts_.sent;
  const auto header = header_of(message);
  if (!header || header->exchange != informational) return;
  if (std::exchange(numbers_of_, header->initiator) != header->initiator)
    last_asked_ = last_answered_ = last_was_asked_ = std::nullopt;
  if (header->is_response) {
    if (last_was_asked_ == header->number) ++counts_.has_answered;
  } else if (std::exchange(last_asked_, header->number) != header->number) {
    ++counts_.asked;
  } else {
    ++counts_.repeated;
  }
}

void Client::note_received(ByteView message) {
  const auto header = header_of(message);
  if (!header || header->exchange != informational) return;
  if (std::exchange(numbers_of_, header->initiator) != header->initiator)
    last_asked_ = last_answered_ = last_was_asked_ = std::nullopt;
  if (!header->is_response) {
    if (std::exchange(last_was_asked_, header->number) != header->number) ++counts_.was_asked;
  } else if (header->number == last_asked_ && std::exchange(last_answered_, header->number) != header->number) {
    ++counts_.answered;
  }
}

}  // namespace culvert::lab
