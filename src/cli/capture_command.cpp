// `culvert capture`: culvertd says where to look, the kernel gives the packets.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include "capture.h"
#include "capture_output.h"
#include "capture_source.h"
#include "capture_target.h"
#include "client.h"
#include "culvert/base/text.h"
#include "key_fetcher.h"
#include "outer_packets.h"
#include "output.h"

namespace culvert::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds look_interval{1000}, key_interval{400};
constexpr int capture_poll_ms = 100;
constexpr unsigned default_key_seconds = 60;

volatile std::sig_atomic_t capture_interrupted = 0;

void on_capture_signal(int) {
  capture_interrupted = 1;
}

void take_capture_signals() {
  struct sigaction action {};
  action.sa_handler = on_capture_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one ends us at once
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

/// The exit status is the error: a message has been printed.
template <class T>
using Outcome = std::expected<T, ExitCode>;

std::unexpected<ExitCode> refuse_capture(std::string_view text, ExitCode code = ExitCode::failed) {
  complain(text);
  return std::unexpected(code);
}

Outcome<std::optional<control::CaptureReport>> find_target(const std::filesystem::path& socket,
                                                           const std::string& name) {
  auto response = ask(socket, {"capture", name, ""});
  if (!response) return refuse_capture(response.error().detail, ExitCode::unreachable);
  if (response->ok && response->capture) return std::move(response->capture);
  if (response->code == "not_found") return std::nullopt;
  return refuse_capture(printable(response->error));
}

struct Understood {
  CaptureWish wish;
  control::CaptureReport report;
};

/// The first word is a peer or a tunnel when there is one of this name, else it belongs to the expression.
Outcome<Understood> understand(const std::filesystem::path& socket, const CaptureArguments& arguments) {
  Understood understood;
  auto& wish = understood.wish;
  const bool both = arguments.inner == arguments.outer;
  wish.inner = both || arguments.inner;
  wish.outer = both || arguments.outer;
  std::vector<std::string> words = arguments.words;
  auto report = find_target(socket, arguments.name.size() <= control::max_name_len ? arguments.name : "");
  if (!report) return std::unexpected(report.error());
  const bool is_name = *report && arguments.name.size() <= control::max_name_len;
  if (is_name) {
    wish.name = arguments.name;
  } else {
    words.insert(words.begin(), arguments.name);
    report = find_target(socket, "");
    if (!report) return std::unexpected(report.error());
    if (!*report) return refuse_capture("culvertd answered without what to capture");
  }
  understood.report = std::move(**report);
  wish.expression = fmt::format("{}", fmt::join(words, " "));
  if (wish.expression.empty()) return understood;
  const auto valid = CaptureSource::check(wish.expression);
  if (valid) return understood;
  if (is_name) return refuse_capture(fmt::format("the expression '{}': {}", wish.expression, valid.error().detail));
  return refuse_capture(fmt::format("there is no peer or tunnel {}, and as an expression it is wrong: {}",
                                    printable(arguments.name), valid.error().detail));
}

/// One capture, from its first packet to its last.
class Capture {
 public:
  Capture(const std::filesystem::path& socket, const CaptureArguments& arguments, CaptureWish wish)
      : socket_(socket), arguments_(arguments), wish_(std::move(wish)) {}

  [[nodiscard]] Result<void> open(const control::CaptureReport& report);
  [[nodiscard]] Result<void> run();
  [[nodiscard]] Result<void> finish();

 private:
  [[nodiscard]] Result<void> open_keys();
  [[nodiscard]] Result<void> open_output();
  [[nodiscard]] Result<void> fetch_keys();
  [[nodiscard]] Result<void> aim(const control::CaptureReport& report);
  [[nodiscard]] Result<void> look_again();
  [[nodiscard]] bool take(const SeenPacket& packet);
  [[nodiscard]] bool put(const CapturePlace& place, const SeenPacket& packet);
  [[nodiscard]] bool is_full() const;
  void summarize(std::uint64_t dropped) const;

  const std::filesystem::path& socket_;
  const CaptureArguments& arguments_;
  CaptureWish wish_;
  std::optional<CaptureSource> source_;
  std::optional<KeyFetcher> keys_;
  std::unique_ptr<CaptureOutput> output_;
  CaptureTarget target_;
  Result<void> written_;  ///< an error ends the capture
  Clock::time_point keys_since_{};
  bool keys_ended_ = false;
};

Result<void> Capture::open(const control::CaptureReport& report) {
  if (auto entered = enter_namespace_of(socket_); !entered) return entered;
  auto source = CaptureSource::open();
  if (!source) return std::unexpected(source.error());
  source_.emplace(std::move(*source));
  // Before the first packet: a key that comes later would come too late for it.
  if (arguments_.keys)
    if (auto opened = open_keys(); !opened) return opened;
  if (auto opened = open_output(); !opened) {
    if (keys_) keys_->discard();
    return opened;
  }
  return aim(report);
}

Result<void> Capture::open_output() {
  if (arguments_.file.empty()) {
    output_ = open_lines(arguments_.snaplen);
    return {};
  }
  auto output = open_pcapng(arguments_.file, arguments_.force, arguments_.snaplen);
  if (!output) return std::unexpected(output.error());
  output_ = std::move(*output);
  return {};
}

Result<void> Capture::open_keys() {
  const std::string folder = arguments_.keys_folder.empty() ? arguments_.file + ".keys" : arguments_.keys_folder;
  const unsigned seconds = arguments_.seconds == 0 ? default_key_seconds : arguments_.seconds;
  keys_since_ = Clock::now();
  auto keys = KeyFetcher::begin(socket_, wish_.name, seconds, folder);
  if (!keys) return std::unexpected(keys.error());
  keys_.emplace(std::move(*keys));
  return {};
}

Result<void> Capture::aim(const control::CaptureReport& report) {
  const auto links = list_links();
  if (!links) return std::unexpected(links.error());
  auto target = make_target(wish_, report, *links);
  if (!target) return std::unexpected(target.error());
  if (target->filter != target_.filter)
    if (auto set = source_->set_filter(target->filter); !set) return set;
  target_ = std::move(*target);
  return {};
}

/// A peer may have moved, a device may be another one. A culvertd that is gone, or restarts, changes nothing.
Result<void> Capture::look_again() {
  const auto response = ask(socket_, {"capture", wish_.name, ""}, std::chrono::seconds(1));
  if (!response || !response->ok || !response->capture) return {};
  auto aimed = aim(*response->capture);
  return !aimed && aimed.error().code == Errc::invalid ? Result<void>{} : aimed;
}

bool Capture::is_full() const {
  const auto& counts = output_->counts();
  return (arguments_.count != 0 && counts.inner + counts.outer >= arguments_.count) ||
         (arguments_.bytes != 0 && counts.bytes >= arguments_.bytes);
}

bool Capture::put(const CapturePlace& place, const SeenPacket& packet) {
  if (!written_ || is_full()) return false;
  written_ = output_->write(place, packet);
  return written_.has_value();
}

bool Capture::take(const SeenPacket& packet) {
  if (const auto inner = target_.places.find(packet.ifindex); inner != target_.places.end()) {
    (void)put(inner->second, packet);
  } else if (wish_.outer) {
    split_outer(packet.bytes, [&](ByteView bytes) {
      SeenPacket one = packet;
      one.bytes = bytes;
      if (bytes.size() != packet.bytes.size()) one.original_len = static_cast<std::uint32_t>(bytes.size());
      (void)put(target_.outside, one);
    });
  }
  return written_.has_value() && !is_full();
}

Result<void> Capture::run() {
  const auto start = keys_ ? keys_since_ : Clock::now();
  auto next_look = start + look_interval, next_keys = start + key_interval;
  const unsigned seconds = arguments_.seconds == 0 && arguments_.keys ? default_key_seconds : arguments_.seconds;
  while (capture_interrupted == 0) {
    pollfd waiting{source_->fd(), POLLIN, 0};
    ::poll(&waiting, 1, capture_poll_ms);
    const auto more = source_->read([this](const SeenPacket& packet) { return take(packet); });
    if (!more) return std::unexpected(more.error());
    if (written_) written_ = output_->flush();
    if (!written_) return written_;
    const auto now = Clock::now();
    if (!*more || (seconds != 0 && now >= start + std::chrono::seconds(seconds))) return {};
    if (keys_ && now >= next_keys) {
      next_keys = now + key_interval;
      if (auto fetched = fetch_keys(); !fetched) return fetched;
    }
    if (now < next_look) continue;
    next_look = now + look_interval;
    if (auto looked = look_again(); !looked) return looked;
  }
  // What came before the signal may be in a block of the ring that the kernel has not handed over yet.
  const auto end = Clock::now() + CaptureSource::handed_over_within;
  while (written_ && Clock::now() < end) {
    pollfd waiting{source_->fd(), POLLIN, 0};
    ::poll(&waiting, 1, 20);
    const auto more = source_->read([this](const SeenPacket& packet) { return take(packet); });
    if (!more || !*more) break;
  }
  return written_;
}

Result<void> Capture::fetch_keys() {
  const auto fetched = keys_->fetch();
  if (!fetched) return std::unexpected(fetched.error());
  if (!*fetched && !std::exchange(keys_ended_, true))
    complain("culvertd gives no more keys: it has restarted, or its configuration allows it no more");
  return {};
}

Result<void> Capture::finish() {
  if (keys_)
    if (auto fetched = keys_->fetch(); !fetched) return std::unexpected(fetched.error());
  const std::uint64_t dropped = source_->dropped();
  auto finished = output_->finish(dropped);
  summarize(dropped);
  return finished;
}

void Capture::summarize(std::uint64_t dropped) const {
  const auto& counts = output_->counts();
  std::string text = fmt::format("{} packets captured ({} inner, {} outer), {} dropped by the kernel\n",
                                 counts.inner + counts.outer, counts.inner, counts.outer, dropped);
  if (keys_) {
    const auto& profile = keys_->profile();
    const std::string file = arguments_.file.empty() || arguments_.file == "-" ? "FILE" : arguments_.file;
    text += fmt::format(
        "keys of {} SAs; whoever has them can read this traffic. To read it:\n"
        "  WIRESHARK_CONFIG_DIR={} tshark -r {}\n",
        profile.num_rows(), profile.folder().string(), file);
  }
  fmt::print(stderr, "{}", text);
}

std::optional<std::string> capture_mistake(const CaptureArguments& arguments) {
  if (arguments.file == "-" && ::isatty(STDOUT_FILENO) != 0)
    return "standard output is a terminal: give a file, or pipe it, as in 'culvert capture -w - | tshark -r -'";
  if (!arguments.keys && !arguments.keys_folder.empty()) return "--keys-to goes with --keys";
  if (arguments.keys && arguments.keys_folder.empty() && (arguments.file.empty() || arguments.file == "-"))
    return "--keys needs a file (-w FILE), beside which the keys go, or --keys-to FOLDER";
  if (arguments.keys && arguments.seconds > control::max_key_export_s)
    return fmt::format("with --keys a capture takes {} s at most", control::max_key_export_s);
  return std::nullopt;
}

}  // namespace

ExitCode run_capture(const std::filesystem::path& socket, const CaptureArguments& arguments) {
  if (const auto mistake = capture_mistake(arguments)) {
    complain(*mistake);
    return ExitCode::usage;
  }
  const auto understood = understand(socket, arguments);
  if (!understood) return understood.error();
  take_capture_signals();
  Capture capture(socket, arguments, understood->wish);
  if (auto opened = capture.open(understood->report); !opened) {
    complain(opened.error().detail);
    return ExitCode::failed;
  }
  fmt::print(stderr, "capturing; Ctrl-C ends it\n");
  const auto ran = capture.run();
  const auto finished = capture.finish();
  for (const auto* result : {&ran, &finished}) {
    if (*result) continue;
    if (result->error().system_error == EPIPE) return ExitCode::ok;  // whoever read it has seen enough
    complain(result->error().detail);
    return ExitCode::failed;
  }
  return ExitCode::ok;
}

}  // namespace culvert::cli
