#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "authentication.h"
#include "child.h"
#include "child_negotiation.h"
#include "core.h"
#include "culvert/ike/endpoint.h"
#include "eap_exchange.h"
#include "keymat.h"
#include "lifetime.h"
#include "message.h"
#include "message_window.h"
#include "mobility.h"
#include "nat.h"
#include "payload_table.h"
#include "reassembly.h"
#include "task.h"

namespace culvert::ike {

/// The other SA that came out of the same collision: its SPI, and the lower of its two nonces (RFC 7296 §2.8.1).
struct RivalChild {
  Spi inbound;
  Bytes lowest_nonce;
};
struct RivalIke {
  IkeSpi spi;
  Bytes lowest_nonce;
};

// ---- what our one request under way is about
// --------------------------------------------------------------------------------
struct Handshaking {};  ///< IKE_SA_INIT, IKE_AUTH: see Handshake
struct CreatingChild {
  Task task;
  ChildOffer offer;
  std::optional<RivalChild> rival;
  std::vector<Spi>
      deleted;  ///< SPIs of the peer's Deletes that we could not place: the answer under way may have made them
};
struct RekeyingIke {
  Task task;
  IkeSpi spi;
  Bytes nonce;
  std::shared_ptr<const crypto::KeyExchange> ke;
  std::vector<Proposal> offered;
  std::optional<RivalIke> rival;
  std::optional<Result<Secret>> g_ir;  ///< once the answer is here
};
struct DeletingChild {
  Task task;
};
struct DeletingIke {};
struct Probing {};
struct ProbingPath {
  std::uint16_t size = 0;  ///< bytes of IP; 0: the question is whether the peer takes fragments
  std::uint16_t asked = 0;
  PayloadChain chain;
  bool large = true;         ///< in the form that may stay unanswered
  bool interrupted = false;  ///< something more important came: it tells nothing
};
struct UpdatingAddresses {
  Task task;
  std::uint32_t moves = 0;  ///< Mobility::moves when it was sent
  Bytes cookie;
};
struct Announcing {};
struct CheckingAddress {
  Path path;
  std::uint32_t moves = 0;
  Bytes cookie;
};
using Exchange = std::variant<std::monostate, Handshaking, CreatingChild, RekeyingIke, DeletingChild, DeletingIke,
                              Probing, UpdatingAddresses, Announcing, CheckingAddress, ProbingPath>;

/// Our half of a key exchange: the secret, and what we send. Both empty without one.
struct Exchanged {
  Secret secret;
  std::optional<KePayload> ours;
};

/// The peer's request that is being answered: from its ICV to our response, with work on other threads in between when
/// it asks for that. It is as if it had arrived when the work was done; copies of it that come meanwhile are ignored.
struct Answering {
  Path path;
  Header header;
  Bytes digest;                                ///< SHA-256 of the datagram
  std::optional<Result<Exchanged>> exchanged;  ///< the work: of a key exchange
};

/// The IKE_SA_INIT response that we accept, until its key exchange has been computed.
struct AcceptedInit {
  IkeSuite suite;
  Path path;
  Message message;
  Bytes datagram;
};

/// A ticket (RFC 5723) of ours, and what belongs to it. Owned by the Peer until it is used.
struct StoredTicket {
  Bytes ticket;
  Secret sk_d;
  IkeSuite suite;
  TimePoint authenticated{};  ///< when IKE_AUTH proved the peer last
  TimePoint expires{};
};
/// What a resumed IKE SA has from its ticket. The last three: responder.
struct Resumed {
  PeerId peer;
  Bytes ticket, id_i, id_r;
  Duration age{};  ///< of the authentication that it resumes
};

/// How far IKE_AUTH has come.
struct Verification {
  std::optional<std::expected<VerifiedPeer, std::string>> peer;  ///< the error is for the operator
  bool revocation_checked = false;                               ///< with what responders say
  std::optional<UserGrant> grant;                                ///< what else is known of the user; nullopt: nothing
  std::optional<std::expected<AuthPayload, std::string>> ours;   ///< responder
};

/// What is needed until the peer is authenticated, and no longer.
struct Handshake {
  Bytes ni, nr;
  Bytes init_request, init_response;              ///< as last sent: AUTH covers them (§2.15)
  std::shared_ptr<const crypto::KeyExchange> ke;  ///< initiator
  std::vector<Proposal> offered;                  ///< responder: what was chosen
  Bytes cookie;
  static constexpr int max_restarts = 6;
  int restarts = 0;  ///< COOKIE and INVALID_KE_PAYLOAD rounds of one attempt
  Secret sk_pi, sk_pr;
  std::optional<crypto::HashSet> peer_hashes;  ///< of its SIGNATURE_HASH_ALGORITHMS
  bool hashes_announced = false;               ///< we have sent ours
  std::vector<Payload> init_extras;            ///< responder: what else the IKE_SA_INIT response has
  Verification verification;
  std::unique_ptr<EapExchange> eap;      ///< the initiator logs in by EAP
  std::optional<ChildOffer> offer;       ///< of IKE_AUTH
  bool childless_supported = false;      ///< the responder takes IKE_AUTH without a child (RFC 6023)
  std::optional<StoredTicket> resuming;  ///< IKE_SESSION_RESUME is under way
  std::optional<Resumed> resumed;        ///< in place of IKE_SA_INIT
  bool wants_ticket = false;             ///< the initiator asked for one
  bool unwanted = false;                 ///< `culvert down` came meanwhile: delete as soon as it is up
};

/// One IKE SA: its keys, its two message windows, the exchange under way. Reads no clock, does no I/O: effects go to
/// Core. Control thread; owned by Core.
///
///   initiator   init_sent → auth_sent → established
///   responder   half_open → established               established → superseded (a rekey has replaced it)
///   any → closing (our Delete is under way) → closed (answers retransmissions for a while) → swept
class Session {
 public:
  enum class State : std::uint8_t { init_sent, half_open, auth_sent, established, superseded, closing, closed };
  struct Origin {
    bool initiator =
        false;  ///< original initiator of this IKE SA (the I flag, §2.2, §3.1): of a rekey, who asked for it
    IkeSpi spi_i, spi_r;
    Path path;
    NatStatus nat;
    bool announce_childless = false;   ///< responder: RFC 6023
    bool follows_redirects = false;    ///< responder: the initiator does, RFC 5685
    bool fragmentation = false;        ///< both ends have announced it (RFC 7383 §2.3)
    std::uint16_t fragment_limit = 0;  ///< bytes of IP that the path was found to carry; 0: nothing found
  };

  /// For Core and the exchanges that make new IKE SAs.
  Session(Core& core, Origin origin, State state, MessageId next_id);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // ---- what comes in ----
  void on_message(const Path& path, ByteView datagram, const Message& message);
  void on_deadline();
  [[nodiscard]] std::optional<TimePoint> deadline() const;

  // ---- what others ask of it ----
  /// Initiator: sends IKE_SA_INIT.
  void start(Peer& peer);
  /// Initiator: sends IKE_SESSION_RESUME; without success IKE_SA_INIT follows.
  void start_resuming(Peer& peer, StoredTicket ticket);
  /// Responder: the ticket is good; sends the IKE_SESSION_RESUME response.
  void answer_resume(const IkeChoice& choice, const Secret& sk_d, Resumed resumed, Bytes ni, ByteView request);
  /// Responder: the half-open IKE SA has been chosen and its keys agreed; sends the IKE_SA_INIT response.
  void answer_init(const IkeChoice& choice, const Message& message, ByteView datagram, std::vector<Payload> extras);
  /// Sends the request for `task`. Only while ready(). False: there is nothing left to do for it.
  bool begin(Task task);
  /// Of an attempt: what its request waits for, in words; empty while nothing is unusual.
  [[nodiscard]] std::string progress() const;
  /// Established, and no request under way or in preparation.
  [[nodiscard]] bool ready() const noexcept {
    return state_ == State::established && requests_.idle() && !preparing_ && !close_wanted_;
  }
  /// Both ends know fragments (RFC 7383): without them a probe that is too large could never be answered.
  [[nodiscard]] bool can_probe_path() const noexcept;
  /// Another request waits: whatever probes the path makes room.
  void hurry();
  /// Sends a Delete as soon as no other request is under way, and closes on its answer (§1.4.1).
  void close_with_delete();
  /// Sends a Delete now, once, whatever is under way.
  void send_last_delete();
  /// Without a word to the peer.
  void close();
  void supersede();
  /// The addresses of the IKE SA. What is under way is sent again at once, to there (RFC 4555 §3.5).
  void relocate(const Path& path);
  /// The same for one that nothing is under way on that would have to be sent again.
  void adopt_path(const Path& path) noexcept { origin_.path = path; }
  /// What NAT detection found on the path.
  void set_nat(const NatStatus& found);

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_open() const noexcept { return state_ != State::closing && state_ != State::closed; }
  [[nodiscard]] bool is_over() const noexcept;  ///< to be swept
  [[nodiscard]] bool initiator() const noexcept { return origin_.initiator; }
  [[nodiscard]] IkeSpi spi_i() const noexcept { return origin_.spi_i; }
  [[nodiscard]] IkeSpi spi_r() const noexcept { return origin_.spi_r; }
  [[nodiscard]] IkeSpi our_spi() const noexcept { return origin_.initiator ? origin_.spi_i : origin_.spi_r; }
  [[nodiscard]] const Path& path() const noexcept { return origin_.path; }
  [[nodiscard]] bool follows_redirects() const noexcept { return origin_.follows_redirects; }
  [[nodiscard]] const NatStatus& nat() const noexcept { return origin_.nat; }
  [[nodiscard]] const IkeSuite& suite() const noexcept { return suite_; }
  [[nodiscard]] TimePoint created() const noexcept { return created_; }
  [[nodiscard]] TimePoint established_at() const noexcept { return established_at_; }
  [[nodiscard]] std::optional<TimePoint> soft_at() const noexcept { return lifetime_.soft; }
  [[nodiscard]] std::optional<TimePoint> hard_at() const noexcept { return lifetime_.hard; }
  [[nodiscard]] bool idle() const noexcept { return requests_.idle(); }
  /// The peer has used it, or answered for it: it has it, too.
  [[nodiscard]] bool confirmed() const noexcept { return confirmed_; }
  [[nodiscard]] bool close_wanted() const noexcept { return close_wanted_; }
  void mark_unwanted();
  /// Responder: among the half-open IKE SAs, until the peer is authenticated or this one is gone.
  void take_slot(Admission::Slot slot) { slot_ = std::move(slot); }
  [[nodiscard]] Association* association() const noexcept { return association_; }
  [[nodiscard]] Peer* peer() const noexcept { return peer_; }  ///< nullptr: a responder's, before IKE_AUTH
  /// Without the integrity keys, which are not kept; nullopt: it has no keys yet.
  [[nodiscard]] std::optional<DebugIkeKeys> copy_keys() const;
  [[nodiscard]] AgendaMark& agenda_mark() noexcept { return agenda_mark_; }
  /// What the request under way is about, when that is a T.
  template <class T>
  [[nodiscard]] const T* underway() const noexcept {
    return exchange_ ? std::get_if<T>(exchange_.get()) : nullptr;
  }
  [[nodiscard]] int num_sent() const noexcept { return requests_.num_sent(); }
  /// A child has been dropped: the rival of ours under way may be it.
  void on_child_gone(const ChildSa& gone);
  [[nodiscard]] bool is_creating(const ChildConfig& config) const;
  [[nodiscard]] bool is_rekeying(Spi child) const;
  /// Something that is under way is about it.
  [[nodiscard]] bool refers_to(const ChildConfig& child) const;
  [[nodiscard]] bool is_rekeying_ike() const { return underway<RekeyingIke>() != nullptr; }

 private:
  friend class Association;

  /// Our response, and whether the IKE SA ends with it.
  struct Reply {
    std::vector<Payload> payloads;
    bool close = false;
    std::string reason;  ///< of the closing
    bool gone = false;   ///< nothing but a word outside the IKE SA, which is no more
  };
  /// A protected message that is there in full and authenticated, in one datagram or in fragments.
  struct Opened {
    Message message;
    Bytes digest;                     ///< what its repetition is recognised by
    const char* malformed = nullptr;  ///< where it breaks the grammar behind a good ICV
  };
  template <class T>
  [[nodiscard]] T* underway() noexcept {
    return exchange_ ? std::get_if<T>(exchange_.get()) : nullptr;
  }
  // session.cpp
  void move_to(State next);
  void on_request(const Path& path, ByteView datagram, const Message& message);
  void on_response(const Path& path, ByteView datagram, const Message& message);
  void answer(Message opened);
  [[nodiscard]] MessageKind kind_of(ExchangeType exchange, bool response) const;
  [[nodiscard]] Reply dispatch_request(ExchangeType exchange, const Message& opened);
  void take_response(Message opened);
  void dispatch_response(ExchangeType exchange, const Message& opened);
  [[nodiscard]] Reply answer_when_closed(const Message& request);
  [[nodiscard]] static Reply reply_with(Refusal refused);
  [[nodiscard]] static Reply invalid_syntax(std::string_view where);
  void complain(ByteView datagram, const Message& message);
  [[nodiscard]] static Reply reply_to_problem(const PayloadProblem& problem);
  void send_reply(Reply reply);
  /// `detours`: it goes by these first, and by the path of the IKE SA only when they stay silent.
  void send_request(ExchangeType exchange, const std::vector<Payload>& payloads, Exchange about,
                    std::vector<Path> detours = {});
  [[nodiscard]] Header header(ExchangeType exchange, bool response, MessageId id) const;
  [[nodiscard]] RetransmitPolicy retransmit_policy() const;
  void follow(const Path& path);
  void install_keys(IkeKeys& keys);
  [[nodiscard]] Exchange take_exchange() noexcept;
  void take_exchange_back();
  void on_lost();
  [[nodiscard]] std::string silence_means() const;
  void on_hard_lifetime();
  void keep_nat_open();
  [[nodiscard]] bool rekey_counts() const;
  void fail_broken_response(std::string_view what);
  [[nodiscard]] ChildContext child_context(EspNegotiation negotiation) const;
  [[nodiscard]] const Task* child_task() const;  ///< of the request under way or in preparation
  [[nodiscard]] const PeerConfig& config() const;
  [[nodiscard]] std::string label() const;
  [[nodiscard]] log::Subject about(std::string reason = {}) const;

  // session_fragments.cpp
  [[nodiscard]] std::optional<Opened> open(ByteView datagram, const Message& message, Reassembly& fragments);
  [[nodiscard]] std::optional<Opened> open_fragment(ByteView datagram, const Message& message, Reassembly& fragments);
  void on_changed_request(const Path& path, ByteView datagram, const Message& message);
  [[nodiscard]] std::size_t fragment_size() const;
  [[nodiscard]] std::size_t around_message() const;
  void shrink_to(std::size_t message_len);
  [[nodiscard]] Result<std::vector<Bytes>> seal(const Header& header, const PayloadChain& chain);
  void send_all(const Path& path, const std::vector<Bytes>& datagrams);
  // session_trace.cpp
  [[nodiscard]] bool is_traced();
  [[nodiscard]] TraceEntry trace_entry(TraceEntry::Kind kind, const Path& path, const Header& header) const;
  void keep_trace(TraceEntry entry);
  void trace_sent(const Path& path, const Header& header, const std::vector<Payload>& payloads,
                  const std::vector<Bytes>& datagrams);
  void trace_received(const Path& path, std::size_t len, const Message& message, const std::vector<Payload>& payloads,
                      const char* malformed = nullptr);
  void trace_again();
  void trace_repeated(const Path& path, const Header& header);
  void trace_note(const std::string& text);
  [[nodiscard]] std::optional<std::vector<Bytes>> recut(const std::vector<Bytes>& sent);
  void try_smaller_fragments();

  // computing.cpp
  bool prepare(Task task, crypto::KeMethod method);
  void on_prepared(std::optional<Result<std::shared_ptr<const crypto::KeyExchange>>> made);
  [[nodiscard]] bool compute_for_request(Message& opened);
  [[nodiscard]] bool compute_for_response(Message& opened);
  [[nodiscard]] std::optional<crypto::KeMethod> useful_ke(const Message& request) const;
  using KeysExchanged = std::move_only_function<void(Session&, std::optional<Result<Exchanged>>)>;
  void exchange_keys(crypto::KeMethod method, const KePayload& theirs, KeysExchanged done);
  void resume_response(Message opened, std::optional<Result<Secret>> g_ir);
  [[nodiscard]] Compute::Rank rank() const noexcept;

  // exchange_ike_sa_init.cpp
  void choose_ke(crypto::KeMethod method);
  void send_init();
  void on_init_response(const Path& path, ByteView datagram, const Message& message);
  void restart_init(const Message& message);
  void accept_init(const Path& path, ByteView datagram, const Message& message);
  void finish_init(AcceptedInit accepted, ByteView g_ir);
  void send_init_response(const Exchanged& exchanged);
  void derive_keys(ByteView g_ir);
  void install_handshake_keys(const Secret& seed);
  void float_to_nat_port();
  void fail_attempt(std::string reason);

  // exchange_ike_auth.cpp
  void send_auth(std::optional<AuthPayload> ours);
  void on_auth_response(const Message& message);
  void come_up(const Message& message, AuthenticatedPeer proof);
  void refuse_responder(std::string why);
  void accept_first_child(const Message& message);
  [[nodiscard]] Reply answer_auth(const Message& message);
  [[nodiscard]] Reply refuse_initiator(const Message& message, std::string why);
  [[nodiscard]] std::string refusal_reason(const Message& message, const PeerConfig* claimed) const;
  [[nodiscard]] const PeerConfig* claimed_config(const Message& message) const;
  void answer_first_child(const Message& message, std::vector<Payload>& payloads);
  [[nodiscard]] std::expected<void, Refusal> check_encapsulation() const;
  void become_established(Association& association);

  // exchange_config.cpp: addresses inside
  [[nodiscard]] Peer* admit_client(Peer& claimed, const UserGrant& who, const Message& message);
  [[nodiscard]] static UserGrant grant_of(const AuthenticatedPeer& proof, const std::optional<UserGrant>& granted);
  [[nodiscard]] bool answer_configuration(const UserGrant& who, const Message& message, std::vector<Payload>& payloads);
  void ask_configuration(std::vector<Payload>& payloads) const;
  [[nodiscard]] bool read_configuration(const Message& message);
  void widen_offer(ChildOffer& offer) const;
  void check_own_addresses(std::expected<ChildAgreement, std::string>& agreement) const;

  // lifecycle.cpp: what later RFCs add to IKE_AUTH
  void add_auth_notifies(std::vector<Payload>& payloads);
  void read_auth_notifies(const Message& message);
  /// Responder: why an authenticated peer is not let in. `peer` is `claimed` or one client of it (nullptr: no room).
  [[nodiscard]] std::optional<Reply> unwelcome(const Peer& claimed, const Peer* peer, const Message& message) const;

  // redirect.cpp
  void add_redirect_support(std::vector<Payload>& payloads) const;
  [[nodiscard]] bool on_init_redirect(const Message& message);
  void on_redirect(const Message& message);
  bool begin_redirect();
  [[nodiscard]] bool add_redirect(std::vector<Payload>& payloads) const;

  // exchange_resume.cpp
  void send_resume();
  void on_resume_response(const Path& path, ByteView datagram, const Message& message);
  void fall_back(const std::string& why);
  void finish_resume(const Path& path, ByteView datagram, const Message& message);
  [[nodiscard]] bool ticket_names(const PeerConfig& claimed, const IdPayload& id_i, const IdPayload* id_r) const;
  void settle_resumption();
  void add_ticket(std::vector<Payload>& payloads);
  void read_ticket(const Message& message);
  [[nodiscard]] Bytes make_ticket();

  // crash_token.cpp
  void add_crash_token(std::vector<Payload>& payloads) const;
  void read_crash_token(const Message& message);
  [[nodiscard]] bool proves_crash(const Message& message) const;
  void on_peer_crashed();
  bool begin_announce_token();

  // reauthentication.cpp
  void add_auth_lifetime(std::vector<Payload>& payloads) const;
  void read_auth_lifetime(const Message& message);

  // authenticating.cpp
  [[nodiscard]] bool compute_for_auth(Message& opened);
  void resume_auth(Message opened);
  void lose_auth();
  [[nodiscard]] bool verify_peer(Message& opened);
  void start_verification(Message& opened, SignatureClaim claim);
  [[nodiscard]] Bytes peer_octets(const IdPayload& id) const;
  [[nodiscard]] Bytes our_octets(const IdPayload& id) const;
  [[nodiscard]] std::optional<AuthPayload> our_mac(const AuthConfig& auth, const IdPayload& id) const;
  void report_ignored_certificate(std::uint8_t encoding);
  [[nodiscard]] bool ask_responders(Message& opened);
  void recheck_revocation_of(Message opened, std::shared_ptr<const crypto::RevocationData> known);
  void begin_auth();
  [[nodiscard]] bool sign_answer(Message& opened, const PeerConfig& peer);

  // exchange_eap.cpp: EAP in IKE_AUTH, responder
  [[nodiscard]] const PeerConfig* begins_eap(const Message& message) const;
  [[nodiscard]] bool proves_by_eap_alone(const Message& message, const PeerConfig& peer) const;
  [[nodiscard]] Reply begin_eap(const Message& message, const PeerConfig& peer);
  [[nodiscard]] bool compute_for_eap(Message& opened);
  void run_eap(Message& opened, ByteView packet);
  [[nodiscard]] bool ask_radius(Message& opened, ByteView packet);
  [[nodiscard]] Reply answer_eap(const Message& message);
  [[nodiscard]] Reply refuse_user(std::string why, Bytes packet);
  void note_wrong_try(const std::string& why);
  [[nodiscard]] std::string judge_user();
  [[nodiscard]] Reply finish_eap(const Message& message);
  void note_login();
  [[nodiscard]] Message as_one_message(const Message& last) const;

  // exchange_eap_client.cpp: the same, initiator
  [[nodiscard]] bool begin_eap_login();
  void on_eap_response(const Message& message);
  [[nodiscard]] bool meet_gateway(const Message& message);
  void finish_eap_login(const Message& message);

  // exchange_create_child_sa.cpp
  bool begin_child(Task task);
  [[nodiscard]] Reply answer_create_child(const Message& message);
  [[nodiscard]] std::expected<ChildSa*, Refusal> rekeyed_child(const Message& message);
  [[nodiscard]] std::expected<Reply, Refusal> answer_child_request(const Message& message);
  [[nodiscard]] std::expected<Exchanged, Refusal> answer_ke(const EspSuite& suite, const Message& message);
  void install_answered(ChildAgreement agreement, ChildSa* old, const Secret& g_ir, const Bytes& ni, const Bytes& nr);
  [[nodiscard]] static std::expected<Secret, std::string> offered_secret(ChildOffer& offer, const EspSuite& suite,
                                                                         const Message& message);
  void on_child_response(CreatingChild exchange, const Message& message);
  void on_child_refused(CreatingChild exchange, const NotifyPayload& error);
  void on_child_made(CreatingChild exchange, const Message& message);
  [[nodiscard]] static bool was_deleted(const CreatingChild& exchange, Spi peer_spi);
  void confirm_children();
  void settle_child(const CreatingChild& exchange, ChildSa& made, bool loses);

  // exchange_rekey_ike.cpp
  bool begin_rekey_ike(Task task);
  [[nodiscard]] Reply answer_rekey_ike(const Message& message);
  void on_rekey_ike_response(RekeyingIke exchange, const Message& message);
  void on_rekey_ike_refused(RekeyingIke exchange, const NotifyPayload& error);
  void on_rekey_ike_failed(RekeyingIke exchange, int weight);
  void adopt_answered(Session& made, Bytes lowest_nonce);
  Session& make_successor(bool initiator, IkeSpi spi_i, IkeSpi spi_r, const IkeSuite& suite, ByteView g_ir, ByteView ni,
                          ByteView nr);
  void settle_ike(const RekeyingIke& exchange, Session& made, const Bytes& lowest_nonce);

  // exchange_informational.cpp
  bool begin_delete_child(Task task);
  bool begin_probe(const Task& task);
  void send_delete();
  [[nodiscard]] Reply answer_informational(const Message& message);
  void answer_delete(const DeletePayload& deletion, DeletePayload& paired);
  void on_delete_child_response(const DeletingChild& exchange);

  // path_probe.cpp
  [[nodiscard]] ProbingPath* large_probe() noexcept;
  bool begin_path_probe(const Task& task);
  void send_large_probe();
  void give_up_large_probe();
  void on_path_probe_response(const ProbingPath& probe);

  // exchange_mobike.cpp
  void offer_mobike(std::vector<Payload>& payloads) const;
  void agree_on_mobike(const Message& message);
  void transmit();
  void note_answer(const Path& path);
  void resend_early();
  void send_pending(const Path& path);
  [[nodiscard]] bool uses_nat_traversal() const;
  void add_nat_detection(std::vector<Payload>& payloads, const Path& path);
  bool begin_update(Task task);
  void on_update_response(UpdatingAddresses exchange, const Message& message);
  bool begin_announcement();
  bool begin_check();
  void on_check_response(const CheckingAddress& exchange, const Message& message);
  bool begin_test();
  void on_probe_response(const Message& message);
  [[nodiscard]] bool cookie2_holds(const Bytes& sent, const AddressNotifies& said);
  static void echo_cookie2(const Message& message, Reply& reply);
  void answer_addresses(const Message& message, Reply& reply);
  [[nodiscard]] bool answer_update(const Message& message, const AddressNotifies& said);

  Core& core_;
  Origin origin_;
  State state_;
  Admission::Slot slot_;  ///< half-open
  IkeSuite suite_{};
  Secret sk_d_;
  Secret peer_token_;  ///< the peer's QCD_TOKEN of this IKE SA; empty: none
  std::optional<SkProtection> in_, out_;
  RequestWindow requests_;
  ResponseWindow responses_;
  Reassembly request_fragments_, response_fragments_;
  std::unique_ptr<Handshake> handshake_;
  Peer* peer_ = nullptr;                ///< responder: unknown until IKE_AUTH
  Association* association_ = nullptr;  ///< once authenticated
  std::unique_ptr<Exchange> exchange_;  ///< nullptr: no request is under way
  std::unique_ptr<Answering> answering_;
  std::unique_ptr<Task> preparing_;  ///< its key pair is being made
  bool close_wanted_ = false;
  bool confirmed_ = false;
  bool soft_due_ = false;
  TimePoint created_{};
  TimePoint established_at_{};
  Lifetime lifetime_;
  std::optional<TimePoint> give_up_at_;  ///< superseded, or half-open
  std::optional<TimePoint> over_at_;     ///< closed
  std::optional<TimePoint> keepalive_at_;
  std::optional<TimePoint> complained_at_;
  std::uint32_t generation_ = 0;  ///< of IKE SAs of the association
  Path heard_on_;                 ///< by which the message came that is being handled
  Path answer_path_;              ///< the same of the last response
  std::vector<Path> detours_;     ///< of the request under way
  std::vector<Path> asked_by_;    ///< where that has gone out so far
  bool ambiguous_ = false;        ///< the request that has just been answered was
  bool went_elsewhere_ = false;   ///< it was sent by other paths than that of the IKE SA
  AgendaMark agenda_mark_;
};

/// The lower of two nonces, octet by octet, a prefix being lower (RFC 7296 §2.8.1).
[[nodiscard]] inline const Bytes& lower(const Bytes& a, const Bytes& b) {
  return std::min(a, b);
}

}  // namespace culvert::ike
