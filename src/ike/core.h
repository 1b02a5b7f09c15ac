#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "admission.h"
#include "agenda.h"
#include "cookie.h"
#include "cookie_budget.h"
#include "crash_token.h"
#include "culvert/ike/endpoint.h"
#include "culvert/ike/measures.h"
#include "culvert/ike/trace.h"
#include "guess_limit.h"
#include "initiation_pace.h"
#include "keymat.h"
#include "message.h"
#include "payload_table.h"
#include "peer_directory.h"
#include "rate_limit.h"
#include "ticket.h"

namespace culvert::ike {

class Association;
class Clients;
class Peer;
class Session;
class Trace;

/// What all sessions of an endpoint share: the tables, the time and the actions of the call under way, numbers that
/// must not clash. Objects die in `sweep` alone, at the end of each public call, so that nothing disappears under the
/// code that runs. Control thread.
class Core {
 public:
  Core(EndpointOptions options, std::vector<PeerConfig> configs, crypto::RandomSource& random);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // ---- one public call ----
  void begin(TimePoint now) { now_ = now; }
  /// Something changed in it that `finish` and its deadline must see. What is dropped unread touches nothing: a flood
  /// costs no look at anybody.
  void touch(Session& session);
  void touch(Peer& peer);
  /// Everybody: for the rare calls that concern all.
  void touch();
  /// Runs what became possible (tasks, postponed closings), drops what has ended, and hands out the actions.
  [[nodiscard]] Actions finish();
  /// How many sessions and peers all calls together have looked at: what a call costs, whatever the processor.
  [[nodiscard]] std::uint64_t num_looks() const noexcept { return num_looks_; }
  [[nodiscard]] TimePoint now() const noexcept { return now_; }
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  void on_deadline();

  // ---- effects ----
  template <class T>
  void emit(T&& action) {
    actions_.emplace_back(std::forward<T>(action));
  }
  void send(const Path& path, Bytes bytes) { emit(SendDatagram{path, std::move(bytes), false}); }
  void report(log::Level level, std::string text) { report(level, {}, std::move(text)); }
  void report(log::Level level, log::Subject about, std::string text) {
    note_in_trace(about, text);
    emit(Report{level, std::move(text), std::move(about)});
  }
  /// For lines that anybody on the network can cause: one for each `topic` in 10 s; how many were left out is said with
  /// the next.
  void report_limited(const std::string& topic, log::Level level, log::Subject about, std::string text);
  void report_limited(const std::string& topic, log::Level level, std::string text) {
    report_limited(topic, level, {}, std::move(text));
  }
  // session_trace.cpp
  [[nodiscard]] Trace& trace() noexcept { return *trace_; }
  [[nodiscard]] std::vector<TraceEntry> trace_of(const std::string& peer) const;
  void note_in_trace(const log::Subject& about, const std::string& text);
  /// A message of no IKE SA that there is.
  void trace_stranger(TraceEntry::Kind kind, const Path& path, const Header& header,
                      const std::vector<Payload>& payloads, std::size_t len);
  void watch(bool watched) noexcept { watched_ = watched; }
  void count(DropReason reason) { emit(CountDrop{reason}); }
  /// Every error notify in what is said, or was said by whoever it is.
  void count_sent_errors(const std::vector<Payload>& payloads);
  void count_received_errors(const Message& message);
  [[nodiscard]] Measures measures() const;

  /// Has `work` done for `owner` on another thread: it takes the wall-clock time and gives a value, and touches nothing
  /// else. `then(owner, result)` follows in a call of its own, unless `owner` has ended by then; the result is nullopt
  /// when there was no room for it. A session has at most one such thing under way for each direction.
  template <class Work, class Then>
  void compute(const Session& owner, Compute::Rank rank, Work work, Then then);
  void on_computed(std::uint64_t id, std::unique_ptr<Computed> result);
  /// The same for an answer that comes from outside, by the id that this gives.
  template <class Value, class Then>
  [[nodiscard]] std::uint64_t await(const Session& owner, Then then);
  template <class Value>
  void on_awaited(std::uint64_t id, Value value) {
    on_computed(id, std::make_unique<ComputedValue<Value>>(std::move(value)));
  }

  // ---- another configuration (reconfigure.cpp) ----
  void reconfigure(Reconfiguration next);

  // ---- numbers ----
  [[nodiscard]] crypto::RandomSource& random() noexcept { return random_; }
  [[nodiscard]] Bytes new_nonce();
  [[nodiscard]] IkeSpi new_ike_spi();
  /// An inbound ESP SPI (never 0–255, RFC 4303 §2.1), taken until release_esp_spi.
  /// `owner` is nullptr before IKE_AUTH is through.
  [[nodiscard]] Spi new_esp_spi(Association* owner);
  void assign_esp_spi(Spi spi, Association& owner);
  /// Offered, or of an SA that is there.
  [[nodiscard]] bool is_taken(Spi esp) const { return esp_spis_.contains(esp); }
  void release_esp_spi(Spi spi);
  void release_esp_spis_of(Association& owner);
  [[nodiscard]] Association* owner_of(Spi inbound) const;
  /// Keeps the inbound SA a little, so that packets under way still find it, and removes it then.
  void linger(Spi inbound, PeerId peer);
  /// Removes what lingers for this peer now.
  void end_lingering(PeerId peer);

  [[nodiscard]] InitiationPace& initiation_pace() noexcept { return initiation_pace_; }

  // ---- tables ----
  [[nodiscard]] const EndpointOptions& options() const noexcept { return options_; }
  void emit_keys(bool wanted) noexcept { options_.debug_keys = wanted; }
  /// As configured, without their clients.
  [[nodiscard]] const std::vector<std::unique_ptr<Peer>>& peers() const noexcept { return peers_; }
  [[nodiscard]] Clients& clients() const noexcept { return *clients_; }
  /// By name and by number clients are found, too.
  [[nodiscard]] Peer* find_peer(std::string_view name) const;
  [[nodiscard]] Peer* find_peer(PeerId id) const;
  [[nodiscard]] Peer* find_peer(ChildId child) const;  ///< whose child it is
  [[nodiscard]] const PeerDirectory& directory() const noexcept { return directory_; }
  [[nodiscard]] PeerDirectory& directory() noexcept { return directory_; }
  Session& add_session(std::unique_ptr<Session> session);
  [[nodiscard]] Session* find_session(IkeSpi ours) const;
  [[nodiscard]] const std::map<IkeSpi, std::unique_ptr<Session>>& sessions() const noexcept { return sessions_; }
  /// Where who calls is sent (RFC 5685); empty: nowhere.
  [[nodiscard]] const std::string& redirect() const noexcept { return redirect_; }
  std::size_t redirect_to(std::string gateway);
  [[nodiscard]] bool sends_away(const Path& path) const;
  /// Wall clock, as the daemon has set it against `now`.
  [[nodiscard]] UnixSeconds unix_now() const;
  /// nullptr where no peer may resume.
  [[nodiscard]] TicketBox* tickets();
  [[nodiscard]] const CrashTokens& crash_tokens() const noexcept { return crash_tokens_; }
  [[nodiscard]] ByteView decoy_psk() const noexcept { return decoy_psk_.view(); }
  /// What somebody unknown is held to: that of the first peer that signs.
  [[nodiscard]] const PeerAuth& decoy_auth() const noexcept { return decoy_auth_; }

  // ---- users (EAP) ----
  [[nodiscard]] const eap::UserTable* users() const noexcept { return users_.get(); }
  void set_users(std::shared_ptr<const eap::UserTable> users) { users_ = std::move(users); }
  [[nodiscard]] std::uint64_t next_login() noexcept { return ++last_login_; }
  [[nodiscard]] GuessLimit& guesses() noexcept { return guesses_; }

  // ---- the way in (endpoint.cpp) ----
  /// To a message of an IKE SA that we do not have. `with_token` ends it at the peer (RFC 6290).
  void answer_without_sa(const Path& path, const Header& header, bool with_token);
  void receive(const Path& path, ByteView datagram);
  /// Lines and answers that nobody has authenticated: at most a burst of 10, one more each 100 ms.
  [[nodiscard]] bool may_answer_stranger() { return stranger_limit_.take(now_); }
  /// Tells a peer that may have missed our crash that nothing here has this inbound SPI.
  void report_unknown_spi(const Path& path, Spi spi);
  [[nodiscard]] Admission& admission() noexcept { return admission_; }
  /// Who came from there is told nothing, but its peers' status says why (entrance.cpp).
  void turn_away(const IpAddress& from, const std::string& why);
  /// A peer's addresses are others than before.
  void on_peer_addresses() { directory_.on_addresses(); }

 private:
  using InitKey = std::pair<IkeSpi, Bytes>;
  /// No longer configured. Its Deletes may be under way, and handshakes that have begun may still name it.
  struct Leaving {
    std::unique_ptr<Peer> peer;
    TimePoint until;
  };
  void enter_peers();
  void forget_leaving();
  [[nodiscard]] bool is_used(const Peer& peer) const;
  struct Lingering {
    Spi spi;
    PeerId peer;
    TimePoint until;
  };
  struct Topic {
    TimePoint next;
    std::uint64_t left_out = 0;
  };

  template <class Value>
  struct ComputedValue : Computed {
    explicit ComputedValue(Value made) : value(std::move(made)) {}
    Value value;
  };
  struct Computation {
    IkeSpi owner;
    std::move_only_function<void(Session*, std::unique_ptr<Computed>)> then;
  };
  [[nodiscard]] std::uint64_t expect(const Session& owner, decltype(Computation::then) then);
  // entrance.cpp
  void admit(const Path& path, ByteView datagram, const Header& header);
  bool answers_again(const Path& path, ByteView datagram, const Header& header);
  [[nodiscard]] static InitKey init_key(const Path& path, ByteView datagram, IkeSpi spi_i);
  void refuse_stranger(const Path& path, const Header& header);
  void demand_cookie(const Path& path, const Header& header, ByteView nonce, bool known);
  void open_session(const Path& path, ByteView datagram, const Admission::Asking& asking);
  void answer_init(const Path& path, ByteView datagram, const Message& message, const Admission::Asking& asking);
  void admit_resumption(const Path& path, ByteView datagram, const Message& message, const Admission::Asking& asking);
  void answer_stateless(const Path& path, const Header& request, std::vector<Payload> payloads);
  void answer_stranger(const Path& path, const Header& request, std::vector<Payload> payloads);
  [[nodiscard]] bool may_know(const Header& header) const;
  void answer_unknown_sa(const Path& path, const Header& header);
  void on_unprotected(const Path& path, const Message& message);
  static void disown(Spi spi, Association* owner);
  void run_touched();
  void sweep();
  void remember_init_request(const InitKey& key, const Session& session);
  void erase_session(Session& session);
  [[nodiscard]] bool nobody_is_forgotten() const;

  EndpointOptions options_;
  crypto::RandomSource& random_;
  TimePoint now_{};
  Actions actions_;
  std::unique_ptr<Trace> trace_;
  CookieJar cookies_;
  CookieBudget cookie_budget_;
  std::uint64_t cookie_budget_seed_;
  Admission admission_;
  InitiationPace initiation_pace_;
  Secret decoy_psk_;
  PeerAuth decoy_auth_;
  std::shared_ptr<const eap::UserTable> users_;
  GuessLimit guesses_;
  std::uint64_t last_login_ = 0;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::deque<Leaving> leaving_;  ///< in the order of their times
  std::unique_ptr<Clients> clients_;
  PeerDirectory directory_{peers_};
  std::map<PeerId, Peer*> peer_by_id_;
  std::map<std::string_view, Peer*> peer_by_name_;
  std::map<ChildId, Peer*> peer_by_child_;
  std::map<IkeSpi, std::unique_ptr<Session>> sessions_;  ///< by our SPI
  std::map<IkeSpi, InitKey> init_request_of_;            ///< the other way round
  std::map<InitKey, IkeSpi> init_requests_;            ///< SPIi, digest of address and IKE_SA_INIT → our SPI (§2.1)
  std::map<Spi, Association*> esp_spis_;               ///< taken inbound SPIs, installed or not
  std::map<std::uint64_t, Computation> computations_;  ///< under way, by Compute::id
  std::uint64_t last_computation_ = 0;
  std::deque<Lingering> lingering_;  ///< in the order of their times
  std::map<std::string, Topic> topics_;
  [[nodiscard]] bool redirects(const Path& path, const Message& message);

  std::string redirect_;
  CrashTokens crash_tokens_;
  std::optional<TicketBox> tickets_;
  RateLimit stranger_limit_{std::chrono::milliseconds(100), 10};
  RateLimit unprotected_limit_{std::chrono::milliseconds(1), 100};  ///< messages of no IKE SA that are looked into
  RateLimit token_limit_{std::chrono::milliseconds(5), 100};        ///< every peer of a gateway asks when it returns
  std::vector<Session*> touched_sessions_;
  std::vector<Peer*> touched_peers_;
  Agenda agenda_;
  std::uint64_t num_looks_ = 0;
  ErrorCounters errors_sent_, errors_received_;
  bool watched_ = false;
};

template <class Work, class Then>
void Core::compute(const Session& owner, Compute::Rank rank, Work work, Then then) {
  using Value = std::invoke_result_t<Work&, std::chrono::sys_seconds>;
  Compute compute;
  compute.id = await<Value>(owner, std::move(then));
  compute.rank = rank;
  compute.work = [work = std::move(work)](std::chrono::sys_seconds now) mutable -> std::unique_ptr<Computed> {
    return std::make_unique<ComputedValue<Value>>(work(now));
  };
  emit(std::move(compute));
}

template <class Value, class Then>
std::uint64_t Core::await(const Session& owner, Then then) {
  return expect(owner, [then = std::move(then)](Session* session, std::unique_ptr<Computed> result) mutable {
    auto* computed = static_cast<ComputedValue<Value>*>(result.get());
    then(*session, computed ? std::optional<Value>(std::move(computed->value)) : std::nullopt);
  });
}

/// How long an inbound SA outlives its replacement.
inline constexpr Duration linger_time = std::chrono::seconds(5);
/// How long the loser of a rekey or of a duplicate waits for the Delete of the side that should send it.
inline constexpr Duration give_up_time = std::chrono::seconds(45);
/// How long a closed IKE SA still answers retransmissions.
inline constexpr Duration closed_time = std::chrono::seconds(60);
inline constexpr Duration half_open_time = std::chrono::seconds(30);

}  // namespace culvert::ike
