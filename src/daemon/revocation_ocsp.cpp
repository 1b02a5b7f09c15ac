// OCSP: asked when a peer's chain holds and its signature was good, answers kept until they ask to be renewed.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "culvert/base/log.h"
#include "revocation.h"
#include "revocation_state.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_answers = 16 * 1024;
/// A responder that names no next update has newer knowledge at any time; this much saves a flapping peer's questions.
constexpr std::chrono::seconds kept_without_next{60};
/// However late the responder's next update: what is revoked meanwhile shall be known within a day.
constexpr std::chrono::hours longest_kept{24};

std::string answer_key(const std::string& responder, const crypto::Certificate& certificate,
                       const crypto::Certificate& issuer) {
  return responder + ' ' + issuer.fingerprint() + ' ' + certificate.fingerprint();
}

}  // namespace

void RevocationKeeper::check(const std::shared_ptr<ike::RevocationFeed>& feed, std::vector<crypto::Certificate> chain,
                             Checked done) {
  const auto source = std::ranges::find(sources_, feed, [](const auto& each) { return each->config.feed; });
  const auto check = std::make_shared<Check>();
  check->feed = feed;
  check->chain = std::move(chain);
  check->done = std::move(done);
  check->num_open = 1;  // this function itself, so that `done` never runs before all is asked
  if (source != sources_.end() && (*source)->config.ocsp) {
    const config::HttpUrl& responder = *(*source)->config.ocsp;
    check->responder = responder.to_string();
    for (std::size_t i = 0; i + 1 < check->chain.size(); ++i) {
      const auto kept = answers_.find(answer_key(check->responder, check->chain[i], check->chain[i + 1]));
      if (kept != answers_.end() && now() < kept->second.good_until) {
        check->found.push_back(kept->second.response);
        continue;
      }
      auto body = crypto::ocsp_request(check->chain[i], check->chain[i + 1]);
      if (!body) continue;
      HttpRequest request;
      request.url = responder;
      request.body = std::move(*body);
      request.content_type = "application/ocsp-request";
      request.max_len = crypto::max_ocsp_response_len;
      request.timeout = options_.ocsp_timeout;
      ++check->num_open;
      http_.fetch(std::move(request),
                  [this, check, i](Result<Bytes> answer) { on_answer(check, i, std::move(answer)); });
    }
  }
  finish(check);
}

void RevocationKeeper::on_answer(const std::shared_ptr<Check>& check, std::size_t index, Result<Bytes> body) {
  const crypto::Certificate& certificate = check->chain[index];
  const crypto::Certificate& issuer = check->chain[index + 1];
  const auto complain = [&](const std::string& why) {
    log::warn("OCSP for {}: {}: {}", log::sanitize(certificate.name()), log::sanitize(check->responder),
              log::sanitize(why));
    finish(check);
  };
  if (!body) {
    const std::string prefix = check->responder + ": ";  // stands in the line already
    const std::string& why = body.error().detail;
    return complain(why.starts_with(prefix) ? why.substr(prefix.size()) : why);
  }
  auto response = crypto::OcspResponse::from_der(*body);
  if (!response) return complain(response.error().detail);
  const auto status = crypto::check_ocsp(*response, certificate, issuer, now());
  if (!status) return complain(status.error().detail);
  if (answers_.size() < max_answers) {
    const auto until =
        status->next_update ? std::min(*status->next_update, now() + longest_kept) : now() + kept_without_next;
    answers_.insert_or_assign(answer_key(check->responder, certificate, issuer), Answer{*response, until});
  }
  check->found.push_back(std::move(*response));
  finish(check);
}

/// Of one thing that was open.
void RevocationKeeper::finish(const std::shared_ptr<Check>& check) {
  if (--check->num_open != 0) return;
  auto data = std::make_shared<crypto::RevocationData>();
  if (const auto known = check->feed->snapshot()) *data = *known;
  data->ocsp.insert(data->ocsp.end(), check->found.begin(), check->found.end());
  check->done(std::move(data));
}

void RevocationKeeper::forget_old_answers() {
  std::erase_if(answers_, [&](const auto& entry) { return now() >= entry.second.good_until; });
}

}  // namespace culvert::daemon
