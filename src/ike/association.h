#pragma once
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "authentication.h"
#include "child.h"
#include "core.h"
#include "lifetime.h"
#include "mobility.h"
#include "task.h"

namespace culvert::ike {

/// What survives the rekeys of an IKE SA: the proof of who the peer is, the IKE SAs in succession, the child SAs that
/// they inherit from each other (RFC 7296 §2.8), and what is to be asked next. Children belong here and not to one IKE
/// SA, so that a rekey of the IKE SA moves nothing, and a late Delete on the old one still finds its child. Owned by
/// its Peer; control thread.
class Association {
 public:
  /// Where it came from: what decides between two that were made at once.
  struct Lineage {
    bool ours = false;               ///< we initiated the first IKE SA
    TimePoint created{};             ///< when its first message left or came
    Bytes lowest_nonce;              ///< of its IKE_SA_INIT
    bool follows_redirects = false;  ///< the peer does (RFC 5685); never of one that we initiated
  };
  Association(Core& core, Peer& peer, const AuthenticatedPeer& proof, Lineage lineage);
  ~Association();
  Association(const Association&) = delete;
  Association& operator=(const Association&) = delete;

  // ---- the user (EAP by RADIUS) ----
  /// The session is told of, and ends after `timeout` (0: never). Once.
  void log_in(UserSession user, Duration timeout);

  // ---- IKE SAs ----
  void add_session(Session& session, bool make_current);
  void make_current(Session& session);
  /// The IKE SA that a rekey has made carries on, and the operator is told.
  void succeed_by(Session& session);
  /// `session` is about to go.
  void forget(const Session& session);
  /// An IKE SA has been closed or lost. When it was the last one that counts, the association ends.
  void on_session_closed(Session& session, const std::string& reason, bool lost);
  [[nodiscard]] Session* current() const noexcept { return current_; }
  [[nodiscard]] const std::vector<Session*>& sessions() const noexcept { return sessions_; }
  [[nodiscard]] std::size_t num_open_sessions() const;

  // ---- child SAs ----
  struct NewChild {
    ChildAgreement agreement;
    DirectionKeys inbound, outbound;
    bool ours = false;  ///< we asked for it
    Bytes lowest_nonce;
    bool send = true;
    bool rekey = false;  ///< for the log
  };
  /// Installs it, inbound first of all (make before break).
  ChildSa& install(NewChild made);
  [[nodiscard]] ChildSa* by_inbound(Spi spi);
  [[nodiscard]] ChildSa* by_outbound(Spi spi);
  [[nodiscard]] std::map<Spi, ChildSa>& children() noexcept { return children_; }
  [[nodiscard]] const std::map<Spi, ChildSa>& children() const noexcept { return children_; }
  /// The live child that this one has become by rekeys, or itself; nullptr: there is none.
  [[nodiscard]] const ChildSa* heir_of(Spi inbound);
  [[nodiscard]] const ChildSa* live_child(const ChildConfig& config) const;
  [[nodiscard]] bool sends_on(Spi outbound) const;
  /// Whether what the peer asks for may carry our packets at once: it knows the keys only when our answer arrives, so
  /// where another child carries them, that one goes on until the peer is heard on the new one.
  [[nodiscard]] bool may_send_at_once(const ChildConfig& config) const;
  /// Another live child for the same traffic.
  [[nodiscard]] ChildSa* twin_of(const ChildSa& child);
  /// `successor` takes over; the peer is to delete `old`, else we do when it took too long.
  void supersede(ChildSa& old, Spi successor);
  /// Sends on it from now on.
  void activate(ChildSa& child);
  /// We delete it: by an INFORMATIONAL exchange, as soon as there is room.
  void delete_child(ChildSa& child);
  /// It is gone on both sides, or on the peer's. The successor, or another child of the same configuration, sends from
  /// now on.
  void drop_child(Spi inbound);
  void on_child_event(ChildSa& child, ChildEvent event);
  /// Child SAs go to child_path(), with the encapsulation that its NAT status asks for; those that are there already
  /// stay.
  void move_children();

  // ---- addresses (association_mobility.cpp) ----
  [[nodiscard]] Mobility& mobility() noexcept { return mobility_; }
  /// MOBIKE is in use, and we are the initiator: who decides which addresses are used (RFC 4555 §1.3).
  [[nodiscard]] bool leads() const noexcept { return mobility_.supported && lineage_.ours; }
  /// Where ESP goes; with the IKE SA's path unless that waits to be verified.
  [[nodiscard]] const Path& child_path() const;
  /// IKE_AUTH is through: what the peer said of its addresses.
  void start_mobility(const AddressNotifies& said);
  void on_network_change();
  void on_paths(std::vector<Path> paths);
  void on_esp_moved(const Path& path);
  /// ESP leaves and none comes back: an early liveness check, where something could be done about it.
  void on_unanswered_traffic();
  void on_peer_addresses(const AddressNotifies& said, const Path& heard_on);
  /// A request under way has been answered by another path than that of the IKE SA.
  void on_answer_by(const Path& path);
  /// The peer, who decides, is at `path` from now on.
  void follow_update(const Path& path, const std::optional<NatStatus>& nat);
  /// The peer can be reached there: the children go there, too.
  void verified(const Path& path);
  /// The peer does not want the path in use: another one, if there is one.
  void leave_refused_path(const std::string& why);
  /// Usable paths but the one in use: all, or those that would be better.
  [[nodiscard]] std::vector<Path> other_paths() const;
  [[nodiscard]] std::vector<Path> better_paths() const;
  /// Ours beside the one in use.
  [[nodiscard]] std::vector<IpAddress> own_addresses() const;

  // ---- tasks ----
  void add_task(Task task, bool first = false);
  /// Again, after a while that grows with task.attempts (RFC 7296 §2.25) and shrinks with what is left of the lifetime.
  void retry_task(Task task);
  void drop_tasks(Task::Kind kind, Spi spi);
  [[nodiscard]] bool has_task(Task::Kind kind, Spi spi) const;
  [[nodiscard]] bool is_creating(const ChildConfig& config) const;
  /// Starts what can be started.
  void run();

  // ---- life ----
  void heard() noexcept;
  [[nodiscard]] TimePoint last_heard() const noexcept { return last_heard_; }
  void check_liveness();
  /// Asks whether a packet of so many bytes of IP reaches the peer. False: not this peer, or not now.
  [[nodiscard]] bool probe_path(std::uint16_t size);
  /// INFORMATIONAL requests in fragments; nullopt: nobody has asked yet.
  [[nodiscard]] std::optional<bool> takes_fragments() const noexcept { return takes_fragments_; }
  void set_takes_fragments(bool takes) noexcept { takes_fragments_ = takes; }
  /// The peer has said that it answers echoes in ESP dummy packets.
  void set_echoes() noexcept { echoes_ = true; }
  /// Of an exchange that was sent once: smoothed as RFC 6298 §2 has it.
  void note_rtt(Duration rtt);
  [[nodiscard]] std::optional<Duration> rtt() const noexcept { return rtt_; }
  [[nodiscard]] Duration jitter() const noexcept { return jitter_; }
  void on_hint();
  /// Another association with the same peer takes its place; the ends agree on which. What is done about it, once the
  /// call has run:
  enum class Ending : std::uint8_t {
    none,
    await_delete,  ///< the peer deletes it; we do when it took too long
    with_delete,   ///< we delete it
    handover,      ///< we delete it soon after the other one has its children
    handed_over,   ///< it has: what is under way arrives first
    silent,        ///< the peer has no memory of it
  };
  void make_redundant(Ending ending);
  /// The other one is gone: this one counts again.
  void promote();
  /// Deletes its IKE SA by an exchange, and all its children at once.
  void close_with_delete(const std::string& reason);
  /// The peer has no memory of it, or does not answer.
  void end(const std::string& reason, bool lost);
  void on_deadline();
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  /// The peer's AUTH_LIFETIME (RFC 4478): it ends what is older. For the initiator alone.
  void limit_authentication(std::uint32_t seconds);
  /// Reauthenticates at this time, where it is ours to do.
  void authenticate_again(TimePoint at);
  /// This child is not configured any more: nobody asks for it.
  void forget_wishes(const ChildConfig& child);
  /// It was proved `age` ago, and resumed since.
  void age_authentication(Duration age);
  void on_reauthentication_failed(const std::string& reason);
  /// What was put off to the end of a call.
  void settle();

  [[nodiscard]] std::vector<Spi>& esp_spis() noexcept { return esp_spis_; }  ///< for Core
  [[nodiscard]] Peer& peer() const noexcept { return peer_; }
  [[nodiscard]] const AuthenticatedPeer& proof() const noexcept { return proof_; }
  [[nodiscard]] bool follows_redirects() const noexcept { return lineage_.follows_redirects; }
  /// This one reauthenticates `old`, where the peer has not said again that it follows.
  void inherit_redirects(const Association& old) noexcept {
    lineage_.follows_redirects |= !lineage_.ours && old.lineage_.follows_redirects;
  }
  [[nodiscard]] const Lineage& lineage() const noexcept { return lineage_; }
  [[nodiscard]] TimePoint established() const noexcept { return established_; }
  [[nodiscard]] bool redundant() const noexcept { return redundant_; }
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  [[nodiscard]] bool is_over() const noexcept { return ended_ && sessions_.empty(); }

 private:
  [[nodiscard]] ChildSa child_from(const NewChild& made) const;
  [[nodiscard]] ChildSaKeys keys_for(const ChildSa& child, NewChild& made) const;
  [[nodiscard]] EspEncapsulation encapsulation_now() const;
  void remove_from_plane(ChildSa& child, bool linger);
  void remove_all_children(bool linger);
  void child_deadlines();
  void start_rekey(ChildSa& child);
  void expire(ChildSa& child);
  void tidy_children();
  void resolve_redundancy();
  [[nodiscard]] Lifetime authentication_lifetime() const;
  void reauthenticate_when_due();
  void find_paths();
  [[nodiscard]] Session* session_for_update() const;
  void relocate(const Path& path);
  void lead_to(const Path& path, std::string_view why);
  void change_local(const Path& path);
  void announce();
  void plan_return();
  void return_later();
  void go_on();
  void queue(Task::Kind kind);
  friend class Session;

  Core& core_;
  Peer& peer_;
  AuthenticatedPeer proof_;
  Lineage lineage_;
  TimePoint established_;
  std::vector<Session*> sessions_;
  Session* current_ = nullptr;
  std::map<Spi, ChildSa> children_;  ///< by inbound SPI
  std::vector<Spi> esp_spis_;        ///< taken for it: what Core::owner_of finds it by
  std::list<Task> tasks_;
  TimePoint last_heard_;
  std::optional<TimePoint> hinted_at_;
  std::optional<bool> takes_fragments_;
  std::optional<Duration> rtt_;
  Duration jitter_{};
  void log_out(UserSessionEnd::Cause cause);
  std::optional<std::uint64_t> login_;  ///< UserSession::id, until it has ended
  Lifetime authentication_;             ///< when to reauthenticate, and when it no longer counts
  bool redundant_ = false;
  Ending ending_ = Ending::none;
  std::optional<TimePoint> redundant_at_;  ///< when to settle it ourselves
  TimePoint redundant_since_{};
  std::optional<TimePoint> tidy_at_;  ///< when to look for children that are there twice
  bool ended_ = false;
  bool echoes_ = false;
  Mobility mobility_;
};

}  // namespace culvert::ike
