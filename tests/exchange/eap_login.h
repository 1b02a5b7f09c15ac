#pragma once
// Side a logs in by EAP at side b, which has a certificate.
#include <map>
#include <string>

#include "credentials.h"
#include "culvert/eap/client.h"
#include "culvert/eap/mschapv2.h"
#include "culvert/eap/users.h"

namespace culvert::ike::test {

inline std::shared_ptr<const Secret> nt_hash(std::string_view password) {
  return std::make_shared<const Secret>(eap::nt_password_hash(as_bytes(password)).value());
}

inline std::shared_ptr<const eap::UserTable> users(const std::map<std::string, std::string>& passwords,
                                                   const std::string& group = "staff") {
  std::map<std::string, eap::UserEntry, std::less<>> entries;
  for (const auto& [name, password] : passwords) {
    entries[name].user =
        std::make_shared<eap::User>(eap::User{name, group, eap::nt_password_hash(as_bytes(password)).value()});
  }
  return std::make_shared<eap::UserTable>(std::move(entries));
}

/// What the client sends, and what the gateway expects of all users.
inline OwnEap login_as(std::string user, std::string_view password) {
  auto client = std::make_shared<eap::ClientConfig>();
  client->user = std::move(user);
  client->nt_hash = nt_hash(password);
  return {std::move(client)};
}

inline eap::TlsOptions tls_options(const Holder& own, const Authority& ca) {
  eap::TlsOptions options;
  options.key = std::make_shared<const crypto::PrivateKey>(own.key);
  options.chain = {std::make_shared<const crypto::Certificate>(own.certificate)};
  options.trust = std::make_shared<const crypto::TrustStore>(crypto::TrustStore::create({ca.certificate}).value());
  return options;
}

inline OwnEap login_by(const Holder& holder, std::string user, bool tls13 = true) {
  eap::TlsOptions options = tls_options(holder, pki().ca);
  options.tls13 = tls13;
  options.is_expected = [](const crypto::Certificate& leaf) { return leaf.asserts_fqdn(Pki::name_of(b)); };
  auto client = std::make_shared<eap::ClientConfig>();
  client->method = eap::Type::tls;
  client->user = std::move(user);
  client->tls = eap::TlsContext::create(eap::TlsContext::Side::client, std::move(options)).value();
  return {std::move(client)};
}

inline PeerEap expecting_users(std::vector<eap::Type> methods) {
  auto server = std::make_shared<eap::ServerConfig>();
  server->methods = std::move(methods);
  server->tls = eap::TlsContext::create(eap::TlsContext::Side::server, tls_options(pki().holder(b), pki().ca)).value();
  return {std::move(server), {}};
}

/// By MSCHAPv2, as carol.
inline void use_eap(Simulation& simulation, std::string_view password = "Ar3etTnp") {
  use_certificates(simulation);
  send_whole(simulation);
  simulation.config(a).auth.ours = login_as("carol", password);
  simulation.config(b).auth.theirs = expecting_users({eap::Type::mschapv2});
  simulation.config(b).remote_id = {};
  simulation.config(b).addresses = {};
  simulation.config(b).start = StartMode::wait;
  simulation.node(b).options.users = users({{"carol", "Ar3etTnp"}});
}

/// By EAP-TLS.
inline void use_eap_tls(Simulation& simulation, bool tls13 = true) {
  use_eap(simulation);
  simulation.config(a).auth.ours = login_by(pki().holder(a), Pki::name_of(a), tls13);
  simulation.config(b).auth.theirs = expecting_users({eap::Type::tls});
}

/// A RADIUS server that authenticates by the EAP server of ours; its key is that of the method.
class FakeRadius {
 public:
  explicit FakeRadius(std::shared_ptr<const eap::ServerConfig> config, std::map<std::string, std::string> passwords)
      : config_(std::move(config)), desk_(std::make_shared<Desk>(std::move(passwords))) {}
  RadiusAnswer operator()(const AskRadius& ask) {
    const auto packet = eap::parse(ask.eap).value();
    if (ask.state.empty()) {
      conversations_.erase(next_);
      auto& made = conversations_.emplace(next_, eap::Server(config_, desk_, random_)).first->second;
      const auto first = eap::parse(made.start()).value();
      const auto step =
          made.on_response(eap::build({eap::Code::response, first.identifier, eap::Type::identity, packet.data}),
                           culvert::test::test_now);
      return answer(next_++, step);
    }
    const std::uint8_t which = ask.state.at(0);
    return answer(which, conversations_.at(which).on_response(ask.eap, culvert::test::test_now));
  }
  bool with_key = true;
  bool with_eap = true;

 private:
  class Desk : public eap::UserSource {
   public:
    explicit Desk(std::map<std::string, std::string> passwords) : passwords_(std::move(passwords)) {}
    std::shared_ptr<const eap::User> find(std::string_view name) override {
      const auto found = passwords_.find(std::string(name));
      if (found == passwords_.end()) return nullptr;
      return std::make_shared<eap::User>(
          eap::User{found->first, "", eap::nt_password_hash(as_bytes(found->second)).value()});
    }

   private:
    std::map<std::string, std::string> passwords_;
  };
  RadiusAnswer answer(std::uint8_t which, const eap::Step& step) {
    RadiusAnswer made;
    made.eap = with_eap ? step.packet : Bytes();
    made.state = {which};
    made.server = 1;
    if (step.kind == eap::Step::Kind::send) made.verdict = RadiusAnswer::Verdict::challenge;
    if (step.kind == eap::Step::Kind::failed) made.verdict = RadiusAnswer::Verdict::reject;
    if (step.kind == eap::Step::Kind::succeeded) {
      made.verdict = RadiusAnswer::Verdict::accept;
      if (with_key) made.msk = conversations_.at(which).take_proof().msk;
      made.groups = {"remote"};
    }
    return made;
  }

  std::shared_ptr<const eap::ServerConfig> config_;
  std::shared_ptr<Desk> desk_;
  SeededRandom random_{77};
  std::map<std::uint8_t, eap::Server> conversations_;
  std::uint8_t next_ = 1;
};

inline void use_radius(Simulation& simulation, std::shared_ptr<FakeRadius> server) {
  use_eap(simulation);
  simulation.node(b).options.users = nullptr;
  simulation.config(b).auth.theirs = PeerEap{nullptr, "office"};
  simulation.node(b).radius = [server = std::move(server)](const AskRadius& ask) { return (*server)(ask); };
}

}  // namespace culvert::ike::test
