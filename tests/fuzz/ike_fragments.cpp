// Reassembly of IKE fragments (RFC 7383 §2.6): the fuzzer plays a peer that holds the keys. Each step is a fragment:
// id, number, total, length, taken from the input; its content, too. A message that comes together is parsed as a
// session would.
#include <algorithm>
#include <map>

#include "ike_exercise.h"
#include "reassembly.h"

using namespace culvert;
using namespace culvert::ike;
using fuzz::require;

namespace {

constexpr std::size_t max_bytes = 4096;

/// What is there, kept in the simplest way.
struct Model {
  std::uint32_t id = 0;
  std::uint16_t total = 0;
  std::map<std::uint16_t, Bytes> parts;
  TimePoint until{};
};

Bytes joined(const Model& model) {
  Bytes all;
  for (const auto& [number, part] : model.parts) append(all, part);
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader reader(ByteView(data, size));
  Reassembly set;
  Model model;
  TimePoint now = TimePoint{} + std::chrono::hours(1);
  while (reader.remaining() >= 7) {
    const std::uint32_t id = *reader.u8() % 3U;
    const std::uint16_t total = static_cast<std::uint16_t>(*reader.u16() % 300 + 1);
    const std::uint16_t number = static_cast<std::uint16_t>(*reader.u16() % total + 1);
    const auto first = static_cast<PayloadType>(*reader.u8());
    const std::uint8_t len = *reader.u8();
    const ByteView content = *reader.take(std::min<std::size_t>(len, reader.remaining()));
    if (len == 255) now += std::chrono::seconds(11);

    set.expire(now);
    if (now >= model.until) model = {};
    const bool same = model.total != 0 && model.id == id;
    const auto verdict = set.judge(now, MessageId(id), {number, total});
    const auto expected = total > Reassembly::max_fragments ? Reassembly::Verdict::beyond_limit
                          : !same || total > model.total    ? Reassembly::Verdict::wanted
                          : total < model.total             ? Reassembly::Verdict::outdated
                          : model.parts.contains(number)    ? Reassembly::Verdict::duplicate
                                                            : Reassembly::Verdict::wanted;
    require(verdict == expected);
    if (verdict != Reassembly::Verdict::wanted) continue;
    if (!same || total > model.total) model = {id, total, {}, now + Reassembly::max_age};
    model.parts[number] = Bytes(content.begin(), content.end());
    const auto added = set.add(
        now, {MessageId(id), {number, total}, first, {number == 1}, Bytes(content.begin(), content.end())}, max_bytes);
    if (joined(model).size() > max_bytes) {
      require(added == Reassembly::Added::too_long && !set.deadline());
      model = {};
    } else if (model.parts.size() == model.total) {
      require(added == Reassembly::Added::complete);
      const auto whole = set.take();
      require(whole.content == joined(model) && whole.digest == Bytes{1});
      const auto payloads = parse_payloads(whole.first, whole.content);
      if (payloads) fuzz::exercise_all(*payloads);
      model = {};
    } else {
      require(added == Reassembly::Added::waiting || added == Reassembly::Added::restarted);
    }
  }
  return 0;
}
