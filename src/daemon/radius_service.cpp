#include "radius_service.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "culvert/base/log.h"
#include "culvert/crypto/random.h"

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using radius::AttributeType;
using ErrorCode = boost::system::error_code;

udp::endpoint endpoint_of(const Endpoint& server) {
  if (server.address.is_v4()) {
    asio::ip::address_v4::bytes_type bytes;
    std::ranges::copy(server.address.bytes(), bytes.begin());
    return {asio::ip::address_v4(bytes), server.port};
  }
  asio::ip::address_v6::bytes_type bytes;
  std::ranges::copy(server.address.bytes(), bytes.begin());
  return {asio::ip::address_v6(bytes), server.port};
}

radius::ClientConfig client_config(const config::RadiusSettings& settings, const std::vector<Endpoint>& servers) {
  radius::ClientConfig config;
  for (const Endpoint& server : servers) config.servers.push_back({server, settings.secret});
  config.retransmit = settings.timeout;
  config.tries = settings.tries;
  config.dead_time = settings.dead_time;
  return config;
}

/// Text that can be a group's name.
bool is_group(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; });
}

}  // namespace

// ---- one client and its sockets
// ----------------------------------------------------------------------------------------------------

RadiusLine::RadiusLine(asio::io_context& io, radius::ClientConfig config, Done done)
    : io_(io), client_(config, crypto::system_random()), done_(std::move(done)), timer_(io) {
  for (const radius::ServerConfig& server : config.servers) {
    auto& port = *ports_.emplace_back(std::make_unique<Port>(io));
    port.server = server;
  }
}

RadiusLine::~RadiusLine() = default;

/// RFC 5080 §2.2.1 wants source ports that nobody can foresee: the kernel's.
void RadiusLine::open(Port& port) {
  ErrorCode error;
  const udp::endpoint remote = endpoint_of(port.server.address);
  (void)port.socket.open(remote.protocol(), error);
  if (!error) (void)port.socket.connect(remote, error);
  if (!error) return;
  log::warn("RADIUS server {}: {}", port.server.address.to_string(), error.message());
  ErrorCode ignored;
  (void)port.socket.close(ignored);
}

void RadiusLine::ask(std::uint64_t token, radius::Packet request, std::optional<std::size_t> server) {
  perform(client_.ask(Clock::now(), token, std::move(request), server));
}

void RadiusLine::send(std::size_t index, const Bytes& bytes) {
  Port& port = *ports_[index];
  if (!port.socket.is_open()) {
    open(port);
    if (!port.socket.is_open()) return;  // it is as if the server were silent
    receive(index);
  }
  ErrorCode error;
  (void)port.socket.send(asio::buffer(bytes), 0, error);
  // A refusal (ICMP) of the datagram before is reported here, once; this one has not left then.
  if (error) (void)port.socket.send(asio::buffer(bytes), 0, error);
  if (!error) return;
  // Our own address may have changed since: with the next try another socket. The server counts as silent until then.
  (void)port.socket.close(error);
}

void RadiusLine::receive(std::size_t index) {
  Port& port = *ports_[index];
  port.socket.async_receive(asio::buffer(port.buffer), [this, index](const ErrorCode& error, std::size_t len) {
    if (error == asio::error::operation_aborted) return;
    Port& of = *ports_[index];
    if (!error) perform(client_.on_datagram(Clock::now(), index, ByteView(of.buffer.data(), len)));
    if (of.socket.is_open()) receive(index);
  });
}

void RadiusLine::perform(radius::Actions actions) {
  for (radius::Action& action : actions) {
    if (auto* out = std::get_if<radius::SendTo>(&action)) {
      send(out->server, out->bytes);
    } else if (auto* notice = std::get_if<radius::Notice>(&action)) {
      log::write(notice->bad ? log::Level::warn : log::Level::info, log::sanitize(notice->text));
    } else if (auto* answer = std::get_if<radius::Answer>(&action)) {
      auto kept = std::make_shared<radius::Answer>(std::move(*answer));
      asio::post(io_, [done = done_, kept] { done(std::move(*kept)); });
    }
  }
  arm();
}

void RadiusLine::arm() {
  const auto when = client_.deadline();
  if (!when) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(*when);
  timer_.async_wait([this](const ErrorCode& error) {
    if (!error) perform(client_.on_deadline(Clock::now()));
  });
}

// ---- logins
// --------------------------------------------------------------------------------------------------------------------------

ike::RadiusAnswer answer_of(radius::Answer answer) {
  using Verdict = ike::RadiusAnswer::Verdict;
  ike::RadiusAnswer made;
  made.why = std::move(answer.why);
  made.server = answer.server;
  if (!answer.reply) return made;
  const radius::Packet& reply = *answer.reply;
  made.verdict = reply.code == radius::Code::access_accept      ? Verdict::accept
                 : reply.code == radius::Code::access_challenge ? Verdict::challenge
                                                                : Verdict::reject;
  made.eap = reply.eap();
  if (const Bytes* state = reply.find(AttributeType::state)) made.state = *state;
  if (made.verdict != Verdict::accept) return made;
  made.msk = std::move(answer.msk);
  made.user = reply.text(AttributeType::user_name);
  for (const radius::Attribute& attribute : reply.attributes) {
    const bool names_group = attribute.type == AttributeType::filter_id || attribute.type == AttributeType::class_;
    if (names_group && is_group(as_text(attribute.value))) made.groups.emplace_back(as_text(attribute.value));
  }
  if (const auto address = reply.framed_ipv4()) made.addresses.push_back(*address);
  if (const auto address = reply.framed_ipv6()) made.addresses.push_back(*address);
  if (const auto timeout = reply.number(AttributeType::session_timeout))
    made.session_timeout = std::chrono::seconds(*timeout);
  if (const Bytes* of_class = reply.find(AttributeType::class_)) made.class_ = *of_class;
  return made;
}

RadiusService::RadiusService(asio::io_context& io, const std::vector<config::RadiusSettings>& settings,
                             std::string our_name, Answered answered)
    : io_(io), our_name_(std::move(our_name)), answered_(std::move(answered)), interim_(io) {
  for (const config::RadiusSettings& one : settings) groups_.push_back(make_group(one));
}

RadiusService::Group RadiusService::make_group(const config::RadiusSettings& settings) {
  Group group{settings, nullptr, nullptr};
  group.access = std::make_unique<RadiusLine>(
      io_, client_config(settings, settings.servers),
      [this](radius::Answer answer) { answered_(answer.token, answer_of(std::move(answer))); });
  if (settings.accounting.empty()) return group;
  group.accounting = std::make_unique<RadiusLine>(
      io_, client_config(settings, settings.accounting), [name = settings.name](const radius::Answer& answer) {
        if (!answer.reply) log::warn("radius {}: a report of a session is lost: {}", name, answer.why);
      });
  return group;
}

namespace {

bool same_servers(const config::RadiusSettings& a, const config::RadiusSettings& b) {
  return a.servers == b.servers && a.accounting == b.accounting && a.secret->equals(b.secret->view()) &&
         a.timeout == b.timeout && a.dead_time == b.dead_time && a.tries == b.tries;
}

}  // namespace

void RadiusService::replace(const std::vector<config::RadiusSettings>& settings, std::string our_name) {
  our_name_ = std::move(our_name);
  auto before = std::make_shared<std::vector<Group>>(std::exchange(groups_, {}));
  for (const config::RadiusSettings& one : settings) {
    const auto known = std::ranges::find_if(*before, [&](const Group& group) {
      return group.access && group.settings.name == one.name && same_servers(group.settings, one);
    });
    groups_.push_back(known == before->end() ? make_group(one)
                                             : Group{one, std::move(known->access), std::move(known->accounting)});
  }
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    at->second.group = group_of(at->second.about.servers);
    const bool goes_on = at->second.group && at->second.group->accounting;
    at = goes_on ? std::next(at) : sessions_.erase(at);
  }
  asio::post(io_, [before] {});  // what a line has ready to be run may still look at it
}

RadiusService::~RadiusService() = default;

RadiusService::Group* RadiusService::group_of(const std::string& name) {
  const auto found = std::ranges::find_if(groups_, [&](const Group& group) { return group.settings.name == name; });
  return found == groups_.end() ? nullptr : &*found;
}

void RadiusService::add_nas(radius::Packet& packet, const Group& group, const ike::Path& path) const {
  constexpr std::uint32_t virtual_port = 5;  // NAS-Port-Type, RFC 2865 §5.41
  const IpAddress& ours = path.local.address;
  packet.add(AttributeType::nas_identifier, group.settings.nas_id.empty() ? our_name_ : group.settings.nas_id);
  if (!ours.is_unspecified())
    packet.add(ours.is_v4() ? AttributeType::nas_ip_address : AttributeType::nas_ipv6_address, ours.bytes());
  packet.add(AttributeType::nas_port_type, virtual_port);
  packet.add(AttributeType::called_station_id, path.local.to_string());
  packet.add(AttributeType::calling_station_id, path.remote.to_string());
}

void RadiusService::ask(ike::AskRadius ask) {
  constexpr std::uint32_t framed = 2;  // Service-Type, RFC 2865 §5.6
  constexpr std::uint32_t framed_mtu =
      1100;  // RFC 3579 §2.4: longer EAP packets than that make IKE messages of several fragments
  Group* group = group_of(ask.servers);
  if (!group) {  // the configuration has been checked
    asio::post(io_, [this, id = ask.id] { answered_(id, {}); });
    return;
  }
  radius::Packet packet{radius::Code::access_request, 0, {}, {}};
  packet.add(AttributeType::user_name, ask.user);
  add_nas(packet, *group, ask.path);
  packet.add(AttributeType::service_type, framed);
  packet.add(AttributeType::framed_mtu, framed_mtu);
  packet.add_eap(ask.eap);
  if (!ask.state.empty()) packet.add(AttributeType::state, ask.state);
  group->access->ask(ask.id, std::move(packet), ask.state.empty() ? std::nullopt : ask.server);
}

// ---- accounting
// ----------------------------------------------------------------------------------------------------------------------

void RadiusService::begin(const ike::UserSession& about) {
  Group* group = group_of(about.servers);
  if (!group || !group->accounting) return;
  const TimePoint now = Clock::now();
  // Unique over restarts (RFC 2866 §5.5).
  Session session{about, group, fmt::format("{:016x}", crypto::system_random().u64()), now,
                  now + group->settings.interim};
  report(session, Status::start);
  sessions_.insert_or_assign(about.id, std::move(session));
  arm();
}

void RadiusService::end(const ike::UserSessionEnd& over) {
  const auto found = sessions_.find(over.id);
  if (found == sessions_.end()) return;
  constexpr std::uint32_t user_request = 1, lost_carrier = 2, admin_reset = 6;  // RFC 2866 §5.10
  using Cause = ike::UserSessionEnd::Cause;
  report(found->second, Status::stop,
         over.cause == Cause::user   ? user_request
         : over.cause == Cause::lost ? lost_carrier
                                     : admin_reset);
  sessions_.erase(found);
}

void RadiusService::end_all() {
  constexpr std::uint32_t nas_reboot = 11;  // RFC 2866 §5.10
  for (const auto& [id, session] : sessions_) report(session, Status::stop, nas_reboot);
  sessions_.clear();
}

void RadiusService::report(const Session& session, Status status, std::uint32_t cause) {
  constexpr std::uint32_t by_radius = 1;  // Acct-Authentic
  const TimePoint now = Clock::now();
  radius::Packet packet{radius::Code::accounting_request, 0, {}, {}};
  packet.add(AttributeType::acct_status_type, static_cast<std::uint32_t>(status));
  packet.add(AttributeType::acct_session_id, session.id);
  packet.add(AttributeType::user_name, session.about.user);
  add_nas(packet, *session.group, session.about.path);
  packet.add(AttributeType::acct_authentic, by_radius);
  if (!session.about.class_.empty()) packet.add(AttributeType::class_, session.about.class_);
  for (const IpAddress& address : session.about.addresses)
    packet.add(address.is_v4() ? AttributeType::framed_ip_address : AttributeType::framed_ipv6_address,
               address.bytes());
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  packet.add(AttributeType::event_timestamp,
             static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(wall).count()));
  if (status != Status::start)
    packet.add(
        AttributeType::acct_session_time,
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now - session.began).count()));
  if (status == Status::stop) packet.add(AttributeType::acct_terminate_cause, cause);
  session.group->accounting->ask(0, std::move(packet));
}

/// The next report of a session that goes on.
void RadiusService::arm() {
  const auto first =
      std::ranges::min_element(sessions_, {}, [](const auto& entry) { return entry.second.next_interim; });
  if (first == sessions_.end()) return;
  interim_.expires_at(first->second.next_interim);
  interim_.async_wait([this](const ErrorCode& error) {
    if (error) return;
    const TimePoint now = Clock::now();
    for (auto& [id, session] : sessions_) {
      if (session.next_interim > now) continue;
      session.next_interim = now + session.group->settings.interim;
      report(session, Status::interim);
    }
    arm();
  });
}

}  // namespace culvert::daemon
