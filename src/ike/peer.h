#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "association.h"
#include "core.h"
#include "culvert/ike/endpoint.h"
#include "lifetime.h"
#include "redirect.h"

namespace culvert::ike {

struct ClientRole;
struct StoredTicket;

/// A configured peer: whether it should be up, and what is done about it. Owns its associations: one, but for the
/// moment in which both ends initiate at once or one comes back from a crash. Owned by Core; control thread.
class Peer {
 public:
  Peer(Core& core, PeerConfig config);
  /// One client of a configured peer with pools; owned by Clients.
  Peer(Core& core, PeerConfig config, std::unique_ptr<ClientRole> role);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  [[nodiscard]] const PeerConfig& config() const noexcept { return config_; }
  [[nodiscard]] AgendaMark& agenda_mark() noexcept { return agenda_mark_; }
  [[nodiscard]] std::string label() const;  ///< "peer tokyo"
  [[nodiscard]] log::Subject about(std::string reason = {}) const;

  // ---- events ----
  void start();
  void on_addresses(std::vector<Path> paths, std::string why);
  void on_acquire(const ChildConfig& config, Trigger trigger);
  void on_network_change();
  void on_paths(std::vector<Path> paths);
  void on_deadline();
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  [[nodiscard]] Result<void> up();
  [[nodiscard]] Result<void> down();
  [[nodiscard]] Result<void> rekey(IkeEndpoint::RekeyWhat what);
  void shut_down();
  /// Another configuration of the same peer (reconfigure.cpp).
  void reconfigure(PeerConfig next, const Renewal& renewal);
  /// It is no longer configured.
  void leave();
  /// Closes what it has; it may come again.
  void kick(const std::string& reason);
  void on_hint(const Path& path);
  [[nodiscard]] PeerStatus status() const;
  /// Without what its clients hold. Which of its children are up is added to `children_up`.
  [[nodiscard]] PeerMeasure measure(std::vector<ChildId>& children_up) const;
  /// A client's are those of its configured peer.
  void count(PeerEvent event) noexcept { tally_->counters.add(event); }
  void note_handshake(PeerEvent event) noexcept;

  // ---- what its sessions tell it ----
  /// The attempt that `session` was has failed.
  void on_attempt_failed(const Session& session, std::string reason);
  /// A peer has been authenticated. Decides between this association and others (duplicates.cpp) before any child is
  /// installed.
  Association& establish(Session& session, const AuthenticatedPeer& proof, Association::Lineage lineage,
                         bool initial_contact);
  void on_association_ended(Association& association, const std::string& reason, bool lost);
  /// True when there was none before.
  bool on_child_up(const ChildConfig& config);
  /// An SA of it has left the data plane: `finish` looks whether it was the last one.
  void on_child_gone() noexcept { child_gone_ = true; }
  /// One of several of this configuration is gone.
  void tell_deleted(const ChildConfig& config, Spi inbound);
  /// A child could not be made, or is gone: said in status, tried again later when it is wanted.
  void on_child_down(const ChildConfig& config, std::string reason, bool refused);
  /// Somebody who calls himself this peer failed to authenticate, or did not accept us.
  void on_bad_credentials(std::string reason);
  /// Somebody who came from one of its addresses was turned away before anybody knew who it is: a hint for status,
  /// nothing else.
  void on_turned_away(std::string reason);
  /// We have refused the child that the peer asked for.
  void on_child_declined(const std::string& reason);
  /// Our address has changed and the peer cannot follow: a new IKE SA, at once.
  void start_over(Association& association, const std::string& reason);

  // ---- what they ask ----
  [[nodiscard]] bool may_come_from(const IpAddress& address) const;
  [[nodiscard]] bool names_address(const IpAddress& address) const;  ///< one of the configured or resolved ones is this
  [[nodiscard]] bool configures_address(const IpAddress& address) const;  ///< the operator wrote exactly this one
  /// In order of preference, as configured and as last resolved.
  [[nodiscard]] std::vector<IpAddress> known_addresses() const;
  /// The attempt under way is not the last one before a pause.
  [[nodiscard]] bool has_next_path() const noexcept { return path_index_ + 1 < paths_.size(); }
  [[nodiscard]] bool may_call() const noexcept { return wanted_ && !any_address_; }  ///< we initiate when it is down
  void add_addresses(std::set<IpAddress>& all) const;                                ///< those of names_address
  [[nodiscard]] bool may_only_call() const noexcept { return any_address_; }  ///< we never initiate
  [[nodiscard]] bool may_come_from_anywhere() const noexcept { return any_address_ || has_names_; }
  [[nodiscard]] bool admin_down() const noexcept { return admin_down_; }
  [[nodiscard]] bool has_association() const;
  [[nodiscard]] Association* preferred() const;
  [[nodiscard]] std::vector<std::unique_ptr<Association>>& associations() noexcept { return associations_; }
  /// The child to ask for in IKE_AUTH, and what packet waits for it.
  [[nodiscard]] const ChildConfig* first_wanted() const;
  [[nodiscard]] std::optional<Trigger> trigger_of(const ChildConfig& config) const;
  /// Among all live children of this configuration but `gone`: the one to send on.
  [[nodiscard]] ChildSa* best_child(const ChildConfig& config, Spi gone) const;
  /// `child` sends from now on, and no other of the same configuration does.
  void mark_sending(ChildSa& child);
  /// Why a second IKE SA of `who`, begun at `created`, must not come up on `path`; empty when it may (duplicates.cpp).
  [[nodiscard]] std::string refuses_second(const Path& path, TimePoint created, bool initial_contact,
                                           const Identity& who) const;
  /// Whether everything that `old` carries has a place elsewhere, or will not get one.
  [[nodiscard]] bool has_taken_over(const Association& old) const;
  /// Another association's child for the same traffic carries it.
  [[nodiscard]] bool sends_elsewhere(const Association& here, const ChildConfig& config) const;
  /// The gateway of `session` sends us to another one (RFC 5685).
  void on_redirected(const Session& session, const std::string& gateway);
  [[nodiscard]] std::optional<IpAddress> redirected_from() const noexcept { return redirected_from_; }
  /// To resume by when the IKE SA is lost; in place of the one before (RFC 5723).
  void keep_ticket(StoredTicket ticket);
  /// Makes a new IKE SA beside `old`, which is to take its place (RFC 7296 §2.8.3). False: not now.
  [[nodiscard]] bool reauthenticate(const Association& old);
  /// The same for the operator.
  [[nodiscard]] Result<void> reauthenticate_now();

  // ---- addresses inside (exchange_config.cpp, clients.cpp) ----
  /// Who authenticates as this one is a client of his own.
  [[nodiscard]] bool is_template() const noexcept { return !config_.pools.empty() && !client_; }
  [[nodiscard]] ClientRole* client() const noexcept { return client_.get(); }
  /// For the children that are made from now on.
  void set_selectors(const ChildConfig& child, std::vector<SelectorSpec> local, std::vector<SelectorSpec> remote);
  /// We ask it for addresses.
  [[nodiscard]] bool gives_addresses() const noexcept { return config_.request_v4 || config_.request_v6; }
  /// What it has given us; nothing yet: no addresses.
  [[nodiscard]] const VirtualNet& virtual_net() const noexcept { return virtual_net_; }
  void use_virtual_net(VirtualNet net);
  void forget_virtual_net();

  void ensure_children();
  void finish();
  void sweep();

 private:
  struct ChildNeed {
    const ChildConfig* config = nullptr;
    bool wanted = false;
    bool up = false;  ///< as last told (tell_children)
    std::optional<TimePoint> retry_at;
    Backoff backoff;
    std::string reason;
    std::optional<Trigger> trigger;
    std::string declined;  ///< why we have refused what the peer asked for, while there is none
  };
  /// A child of a configuration before: its SAs go as soon as those of the one in its place are there.
  struct Retired {
    std::list<ChildConfig> config;  ///< one
    TimePoint since{};
    bool replaced = false;
  };
  enum class Phase : std::uint8_t { idle, resolving, connecting, backing_off };
  struct Tally {
    PeerCounters counters;
    std::optional<TimePoint> last_handshake;
  };

  [[nodiscard]] ChildNeed need_for(const ChildConfig& child) const;
  void read_addresses();
  // reconfigure.cpp
  void adopt_children(std::list<ChildConfig> next);
  void retire(std::list<ChildConfig>::iterator child, bool replaced);
  void settle_retired();
  void tell_children();
  [[nodiscard]] TimePoint retired_until(const Retired& retired) const;
  [[nodiscard]] bool is_used(const ChildConfig& retired) const;
  void renew(const Renewal& renewal);
  void try_again();
  void stop(const std::string& reason);
  void adopt_start(StartMode before);
  void note(std::string reason);
  void want();
  void resolve();
  void connect();
  void retry_later(Duration delay);
  void attempt_over(std::string reason);
  void abandon_attempt();
  void settle_duplicates(Association& fresh, bool initial_contact);
  void settle_pair(Association& fresh, Association& old, bool initial_contact);
  void limit_associations();
  ChildNeed* need_of(const ChildConfig& config);
  [[nodiscard]] std::string reason_text() const;
  [[nodiscard]] std::string own_reason_text() const;
  [[nodiscard]] ChildStatus child_status(const ChildNeed& need) const;
  void describe_session(PeerStatus& status) const;
  void describe_addresses(PeerStatus& status) const;

  Core& core_;
  PeerConfig config_;
  bool admin_down_ = false;
  bool wanted_ = false;  ///< by start mode, command or traffic
  bool any_address_ = false;
  bool child_gone_ = false;
  std::vector<IpAddress> literal_addresses_;
  bool has_names_ = false;
  Phase phase_ = Phase::idle;
  std::vector<Path> paths_;
  std::size_t path_index_ = 0;
  Session* attempt_ = nullptr;
  std::optional<TimePoint>
      retry_at_;           ///< backing_off: when to try again; resolving: when to stop waiting for an answer
  bool has_turn_ = false;  ///< backing_off: not because anything failed, others are called first (initiation_pace.h)
  TimePoint network_retry_{};  ///< when a change of the network last made us try
  Backoff backoff_;
  std::string reason_;
  TimePoint reason_at_{};
  struct Down {
    std::string why;
    TimePoint at;
  };
  std::unique_ptr<const Down> last_down_;  ///< the last time that it was up, and then was not any more
  std::string turned_away_;  ///< why a caller from its address was
  TimePoint turned_away_at_{};
  std::vector<ChildNeed> needs_;
  std::list<Retired> retired_;
  std::vector<std::unique_ptr<Association>> associations_;
  std::unique_ptr<StoredTicket> ticket_;
  std::unique_ptr<ClientRole> client_;
  std::shared_ptr<Tally> tally_ = std::make_shared<Tally>();
  VirtualNet virtual_net_;
  RedirectLoop redirect_loop_;
  std::optional<IpAddress> redirected_from_;  ///< while we are at a gateway that we have been sent to
  AgendaMark agenda_mark_;
};

}  // namespace culvert::ike
