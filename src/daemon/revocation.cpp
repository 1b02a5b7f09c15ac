// CRLs: files that are looked at every few seconds, addresses that are fetched before what they gave is out of date.
#include "revocation.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "culvert/base/log.h"
#include "revocation_state.h"

namespace culvert::daemon {
namespace {

using namespace std::chrono_literals;

// A list is fetched again when nine tenths of its life are over, so that a server may be away for the last; but once a
// day, since revocations come before the date that a list announces.
constexpr auto longest_wait = std::chrono::seconds(24h);
constexpr auto shortest_wait = std::chrono::seconds(1min);
constexpr auto first_retry = std::chrono::seconds(30s);
constexpr auto longest_retry = std::chrono::seconds(1h);
constexpr std::size_t max_fetched_crl_len = 32u << 20;

std::chrono::seconds wait_after(const crypto::Crl& crl, crypto::WallTime now) {
  if (!crl.next_update()) return longest_wait;
  return std::clamp((*crl.next_update() - now) * 9 / 10, shortest_wait, longest_wait);
}

}  // namespace

RevocationKeeper::RevocationKeeper(boost::asio::io_context& io, std::vector<config::RevocationSources> sources,
                                   RevocationOptions options)
    : options_(std::move(options)), http_(io, options_.lookup), timer_(io) {
  if (!options_.wall_clock)
    options_.wall_clock = [] { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); };
  for (auto& each : sources) add(std::move(each));
}

RevocationKeeper::~RevocationKeeper() = default;

void RevocationKeeper::add(config::RevocationSources sources) {
  auto source = std::make_unique<Source>();
  for (const auto& file : sources.crl_files) source->lists.push_back(list_of_file(file));
  for (const auto& url : sources.crl_urls) source->lists.push_back(list_of_url(url));
  for (const std::size_t list : source->lists) lists_[list]->trusts.push_back(sources.trust);
  source->config = std::move(sources);
  sources_.push_back(std::move(source));
}

std::size_t RevocationKeeper::list_of_file(const std::filesystem::path& file) {
  const auto known = std::ranges::find(lists_, std::optional(file), [](const auto& list) { return list->file; });
  if (known != lists_.end()) return static_cast<std::size_t>(known - lists_.begin());
  lists_.push_back(std::make_unique<List>());
  lists_.back()->file = file;
  lists_.back()->name = file.string();
  return lists_.size() - 1;
}

std::size_t RevocationKeeper::list_of_url(const config::HttpUrl& url) {
  const auto known = std::ranges::find(lists_, std::optional(url), [](const auto& list) { return list->url; });
  if (known != lists_.end()) return static_cast<std::size_t>(known - lists_.begin());
  lists_.push_back(std::make_unique<List>());
  lists_.back()->url = url;
  lists_.back()->name = url.to_string();
  return lists_.size() - 1;
}

void RevocationKeeper::start() {
  started_ = true;
  if (sources_.empty()) return;
  look();
  if (!armed_) arm();
}

void RevocationKeeper::replace(std::vector<config::RevocationSources> sources) {
  sources_.clear();
  for (const auto& list : lists_) list->trusts.clear();  // without any it rests
  for (auto& each : sources) add(std::move(each));
  for (const auto& source : sources_) {
    if (std::ranges::any_of(source->lists, [&](std::size_t list) { return lists_[list]->crl.has_value(); }))
      publish(*source);
  }
  if (started_) start();
}

void RevocationKeeper::refresh() {
  for (const auto& list : lists_) {
    list->stamp = {};
    list->next_fetch = {};
    list->failures = 0;
  }
  answers_.clear();
  if (!sources_.empty()) look();
}

void RevocationKeeper::arm() {
  armed_ = true;
  timer_.expires_after(options_.look_interval);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    look();
    arm();
  });
}

void RevocationKeeper::look() {
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    List& list = *lists_[i];
    if (list.trusts.empty()) continue;
    if (list.file && look_at_file(list)) publish_all(i);
    if (list.url && !list.under_way && now() >= list.next_fetch) fetch(i);
  }
  forget_old_answers();
}

/// Renamed into place or written anew: either way one of these changes.
bool RevocationKeeper::look_at_file(List& list) {
  struct stat facts {};
  if (::stat(list.file->c_str(), &facts) != 0) {
    fail_list(list, std::strerror(errno));
    list.stamp = {};
    return false;
  }
  const FileStamp stamp{facts.st_ino, facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec};
  if (stamp == list.stamp) return false;
  list.stamp = stamp;
  return take(list, config::read_crl(*list.file));
}

void RevocationKeeper::fetch(std::size_t index) {
  List& list = *lists_[index];
  list.under_way = true;
  HttpRequest request;
  request.url = *list.url;
  request.max_len = max_fetched_crl_len;
  http_.fetch(std::move(request), [this, index](Result<Bytes> body) { on_fetched(index, std::move(body)); });
}

void RevocationKeeper::on_fetched(std::size_t index, Result<Bytes> body) {
  List& list = *lists_[index];
  list.under_way = false;
  bool taken = false;
  if (body) {
    taken = take(list, crypto::Crl::from_file_content(*body));
  } else {
    fail_list(list, body.error().detail);
  }
  if (taken) {
    list.failures = 0;
    list.next_fetch = now() + wait_after(*list.crl, now());
    publish_all(index);
    return;
  }
  list.next_fetch = now() + std::min(first_retry * (1 << std::min(list.failures, 10)), longest_retry);
  ++list.failures;
}

/// A list counts when a CA that it is configured for has signed it, and when it is not older than what is known: who
/// sits on the path could serve the list from before a revocation for as long as that is not out of date.
bool RevocationKeeper::take(List& list, Result<crypto::Crl> crl) {
  if (!crl) return fail_list(list, crl.error().detail);
  const bool ours = std::ranges::any_of(list.trusts, [&](const auto& trust) { return config::is_of(*crl, *trust); });
  if (!ours) {
    return fail_list(
        list, fmt::format("it is a list of {}, and no CA that it is configured for has signed it", crl->issuer_text()));
  }
  if (list.crl && crl->issuer() == list.crl->issuer() && crl->this_update() < list.crl->this_update()) {
    return fail_list(
        list, fmt::format("the list there, of {}, is older than the one that is known, of {}",
                          crypto::wall_time_text(crl->this_update()), crypto::wall_time_text(list.crl->this_update())));
  }
  const bool is_new = !list.crl || crl->this_update() != list.crl->this_update() || !list.trouble.empty();
  list.crl = std::move(*crl);
  list.trouble.clear();
  if (is_new) {
    log::info("CRL {}: {} revoked, of {}, next on {}", log::sanitize(list.name), list.crl->num_revoked(),
              crypto::wall_time_text(list.crl->this_update()),
              list.crl->next_update() ? crypto::wall_time_text(*list.crl->next_update()) : "no announced day");
  }
  return true;
}

/// Said once, until it changes.
bool RevocationKeeper::fail_list(List& list, std::string why) {
  for (const std::string& prefix : {list.name + ": ", "'" + list.name + "': "}) {
    if (why.starts_with(prefix)) why.erase(0, prefix.size());  // the line begins with the name
  }
  if (list.trouble == why) return false;
  list.trouble = std::move(why);
  log::warn("CRL {}: {}{}", log::sanitize(list.name), log::sanitize(list.trouble),
            list.crl ? "; the one from before stays in use" : "");
  return false;
}

void RevocationKeeper::publish_all(std::size_t list) {
  for (const auto& source : sources_) {
    if (std::ranges::find(source->lists, list) != source->lists.end()) publish(*source);
  }
}

void RevocationKeeper::publish(Source& source) {
  source.config.feed->publish(data_of(source));
}

std::shared_ptr<const crypto::RevocationData> RevocationKeeper::data_of(const Source& source) const {
  auto data = std::make_shared<crypto::RevocationData>();
  for (const std::size_t list : source.lists) {
    if (lists_[list]->crl) data->crls.push_back(*lists_[list]->crl);
  }
  return data;
}

std::vector<control::RevocationReport> RevocationKeeper::report() const {
  std::vector<control::RevocationReport> reports;
  for (const auto& list : lists_) {
    if (list->trusts.empty()) continue;
    control::RevocationReport report;
    report.source = log::sanitize(list->name);
    if (list->crl) {
      report.issuer = list->crl->issuer_text();
      report.revoked = list->crl->num_revoked();
      report.this_update = crypto::wall_time_text(list->crl->this_update());
      if (list->crl->next_update()) report.next_update = crypto::wall_time_text(*list->crl->next_update());
    }
    report.trouble = log::sanitize(list->trouble);
    if (report.trouble.empty() && list->crl && list->crl->next_update() && *list->crl->next_update() < now())
      report.trouble = "out of date";
    if (report.trouble.empty() && !list->crl) report.trouble = "not there yet";
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace culvert::daemon
