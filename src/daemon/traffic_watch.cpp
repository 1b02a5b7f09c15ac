#include "traffic_watch.h"

#include <fmt/format.h>

#include <chrono>

namespace culvert::daemon {
namespace {

std::string blocked_reason(const TrafficWatch::Child& child) {
  const bool echo = child.probe == TrafficWatch::Probe::echo;
  const std::string missed = fmt::format("{}{} probes in a row were not answered", child.passage.num_missed(),
                                         child.passage.num_missed() == 255 ? " or more" : "");
  if (child.passage.heard_meanwhile())
    return fmt::format("{}, though packets come in: what we send does not arrive{}", missed,
                       echo ? "" : ", or whom we ask does not answer");
  if (!child.passage.answered())
    return fmt::format("{}, and none ever was: ESP is dropped on the way{}", missed,
                       echo ? "" : ", or whom we ask does not answer");
  return fmt::format("{}: ESP is dropped on the way, in one direction or both", missed);
}

}  // namespace

void TrafficWatch::on_installed(TimePoint first_at, PeerId peer, ChildId child, bool echoes) {
  const auto [at, is_new] = children_.try_emplace(child);
  Child& known = at->second;
  known.peer = peer;
  if (known.num_pairs < 255) ++known.num_pairs;
  if (echoes != (known.probe == Probe::echo)) {  // a new one, or another program at the other end
    known.probe = echoes ? Probe::echo : Probe::none;
    known.passage.forget_answers();
  }
  if (is_new) known.passage.ask_at(first_at);
}

void TrafficWatch::on_removed(ChildId child) {
  const auto found = children_.find(child);
  if (found != children_.end() && --found->second.num_pairs == 0) children_.erase(found);
}

std::string_view probe_name(TrafficWatch::Probe probe) noexcept {
  switch (probe) {
    case TrafficWatch::Probe::echo:
      return "echo";
    case TrafficWatch::Probe::ping:
    case TrafficWatch::Probe::named_ping:
      return "ping";
    case TrafficWatch::Probe::none:
      break;
  }
  return "none";
}

TrafficState traffic_state(const TrafficWatch::Child& child, TimePoint now, Duration interval) {
  switch (child.passage.verdict(now, interval, child.counts())) {
    case Passage::Verdict::passes:
      return {"passes", ""};
    case Passage::Verdict::blocked:
      return {"blocked", blocked_reason(child)};
    case Passage::Verdict::unanswered: {
      const auto seconds =
          std::chrono::duration_cast<std::chrono::seconds>(child.passage.unanswered_for(now).value_or(Duration{}))
              .count();
      return {"unanswered",
              fmt::format("we have been sending for {} s, and nothing comes back; if that is as it should be, name an "
                          "address that answers in `probe`",
                          seconds)};
    }
    case Passage::Verdict::idle:
      break;
  }
  return {"idle", ""};
}

}  // namespace culvert::daemon
