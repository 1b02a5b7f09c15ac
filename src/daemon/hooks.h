#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/child_sa.h"
#include "culvert/config/config.h"
#include "hook_helper.h"

namespace culvert::daemon {

/// What is known of a child SA that has come up.
struct HookFacts {
  PeerId peer;
  ChildId child;
  std::string peer_name, local_id, remote_id;
  std::string user;  ///< of a client; else empty
  Endpoint local, remote;
  std::vector<TrafficSelector> remote_nets;
};

/// Runs `up` and `down` of the tunnels whose child SAs come and go, by way of the helper. A tunnel is up as long as it
/// has any SA: a rekey is no event. Where many clients share a tunnel each comes and goes by himself. Whatever
/// becomes of a program, the tunnel does not depend on it. Control thread.
class Hooks {
 public:
  /// The helper has read the same configuration.
  Hooks(boost::asio::io_context& io, std::unique_ptr<HookHelper> helper, const config::Config& config);
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  /// Before a configuration is put to use; the error says why it cannot be.
  [[nodiscard]] Result<void> prepare(const std::filesystem::path& file) { return helper_->load(file); }
  void replace(const config::Config& config);
  /// Whether anybody wants to know of this child.
  [[nodiscard]] bool wants(ChildId child) const { return tunnels_.contains(child); }
  /// An SA of this child is known to be there.
  [[nodiscard]] bool knows(PeerId peer, ChildId child) const { return live_.contains({peer, child}); }
  void installed(const HookFacts& facts);
  /// One that has been there before anybody wanted to know: it will go down, and has come up without a word.
  void adopt(const HookFacts& facts);
  void removed(PeerId peer, ChildId child);
  /// "down", until it is something else: "reload", "stop".
  void set_reason(std::string reason) { reason_ = std::move(reason); }
  /// What is up goes down; then waits until all has been run, at most so long.
  void finish(Duration patience);

 private:
  struct Tunnel {
    std::string name, device, addresses, routes;
    tunnel::Carry carry = tunnel::Carry::gre;
    std::uint32_t table = 0;
    std::shared_ptr<const config::TunnelHooks> hooks;
  };
  struct Live {
    std::size_t num_sas = 0;
    std::vector<HookJob> down;  ///< of all tunnels of the child, as they were when it came up
  };
  void push(HookJob job);
  [[nodiscard]] static HookJob job_of(const Tunnel& tunnel, const HookFacts& facts, bool up);
  void start_some();
  void wait();
  void hear();
  void on_line(std::uint32_t id, std::string_view line);
  void on_end(std::uint32_t id, std::string_view trouble);
  void on_gone();

  std::unique_ptr<HookHelper> helper_;
  boost::asio::posix::stream_descriptor replies_;
  std::multimap<ChildId, Tunnel> tunnels_;  ///< those with hooks
  std::map<std::pair<PeerId, ChildId>, Live> live_;
  HookQueue queue_;
  std::map<std::uint32_t, HookJob> running_;
  std::string reason_ = "down";
  bool gone_ = false;
};

}  // namespace culvert::daemon
