#include "ticket.h"

#include <sodium.h>

#include <algorithm>

#include "culvert/crypto/prf.h"

namespace culvert::ike {
namespace {

constexpr std::uint8_t ticket_version = 1, saved_version = 1, state_version = 1;
constexpr std::size_t key_len = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t nonce_len = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_len = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t id_len = 8, head_len = 1 + id_len;
constexpr std::size_t max_keys = 2, max_spent = 4096;

// ---- the content
//   1: version | 8: authenticated | 8: expires | five times 2: length, bytes

void put(Bytes& out, std::uint64_t value, int len) {
  for (int shift = 8 * (len - 1); shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(value >> shift));
}

void put_bytes(Bytes& out, ByteView bytes) {
  put(out, bytes.size(), 2);
  append(out, bytes);
}

std::uint64_t take(ByteView& in, std::size_t len, bool& ok) {
  if (in.size() < len) ok = false;
  if (!ok) return 0;
  std::uint64_t value = 0;
  for (const std::uint8_t byte : in.first(len)) value = value << 8 | byte;
  in = in.subspan(len);
  return value;
}

ByteView take_bytes(ByteView& in, bool& ok) {
  const std::size_t len = take(in, 2, ok);
  if (in.size() < len) ok = false;
  if (!ok) return {};
  const ByteView bytes = in.first(len);
  in = in.subspan(len);
  return bytes;
}

Secret encode(const TicketState& state) {
  Bytes out{state_version};
  out.reserve(max_ticket_len);  // no reallocation leaves a copy of SK_d behind
  put(out, state.authenticated, 8);
  put(out, state.expires, 8);
  for (const ByteView part :
       {state.sk_d.view(), state.credential.view(), ByteView(state.sa), ByteView(state.id_i), ByteView(state.id_r)})
    put_bytes(out, part);
  Secret secret = Secret::copy_of(out);
  sodium_memzero(out.data(), out.size());
  return secret;
}

/// Of bytes that we have sealed ourselves: what does not fit was made by another version.
std::optional<TicketState> decode(ByteView in) {
  bool ok = true;
  TicketState state;
  if (take(in, 1, ok) != state_version) return std::nullopt;
  state.authenticated = take(in, 8, ok);
  state.expires = take(in, 8, ok);
  state.sk_d = Secret::copy_of(take_bytes(in, ok));
  state.credential = Secret::copy_of(take_bytes(in, ok));
  const ByteView sa = take_bytes(in, ok), id_i = take_bytes(in, ok), id_r = take_bytes(in, ok);
  state.sa.assign(sa.begin(), sa.end());
  state.id_i.assign(id_i.begin(), id_i.end());
  state.id_r.assign(id_r.begin(), id_r.end());
  if (!ok || !in.empty() || state.sk_d.empty()) return std::nullopt;
  return state;
}

}  // namespace

Secret credential_digest(const PeerConfig& config, ByteView sk_d) {
  const Secret* ours = config.auth.our_psk();
  const Secret* theirs = config.auth.peer_psk();
  if (!ours || !theirs) return {};
  const Secret mine = crypto::prf(crypto::Prf::hmac_sha2_256, sk_d, {as_bytes("culvert ticket"), ours->view()});
  return crypto::prf(crypto::Prf::hmac_sha2_256, mine.view(), {theirs->view()});
}

TicketBox::TicketBox(crypto::RandomSource& random, ByteView saved) : random_(random) {
  bool ok = true;
  ok = take(saved, 1, ok) == saved_version;
  while (ok && !saved.empty() && keys_.size() < max_keys) {
    Key key;
    if (saved.size() < id_len + 8 + key_len) break;
    std::copy_n(saved.begin(), id_len, key.id.begin());
    saved = saved.subspan(id_len);
    key.made = take(saved, 8, ok);
    key.secret = Secret::copy_of(saved.first(key_len));
    saved = saved.subspan(key_len);
    keys_.push_back(std::move(key));
  }
}

bool TicketBox::rotate(UnixSeconds now) {
  // A key from the future: the clock was set back. It must not live on for who knows how long.
  const auto is_over = [now](const Key& key) { return key.made > now || now - key.made >= 2 * ticket_lifetime; };
  const std::size_t num_gone = std::erase_if(keys_, is_over);
  if (!keys_.empty() && now - keys_.front().made < ticket_lifetime) return num_gone > 0;
  Key key;
  random_.fill(key.id);
  key.made = now;
  key.secret = Secret(key_len);
  random_.fill(key.secret.mutable_view());
  keys_.insert(keys_.begin(), std::move(key));
  if (keys_.size() > max_keys) keys_.pop_back();
  return true;
}

Secret TicketBox::save() const {
  Secret saved(1 + keys_.size() * (id_len + 8 + key_len));
  MutableByteView out = saved.mutable_view();
  out[0] = saved_version;
  std::size_t at = 1;
  for (const Key& key : keys_) {
    std::copy(key.id.begin(), key.id.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
    store_be(&out[at + id_len], key.made);
    const ByteView secret = key.secret.view();
    std::copy(secret.begin(), secret.end(), out.begin() + static_cast<std::ptrdiff_t>(at + id_len + 8));
    at += id_len + 8 + key_len;
  }
  return saved;
}

const TicketBox::Key* TicketBox::key_of(ByteView id) const {
  const auto found = std::ranges::find_if(keys_, [&](const Key& key) { return std::ranges::equal(key.id, id); });
  return found == keys_.end() ? nullptr : &*found;
}

Bytes TicketBox::seal(const TicketState& state) {
  const std::size_t len =
      27 + state.sk_d.size() + state.credential.size() + state.sa.size() + state.id_i.size() + state.id_r.size();
  if (keys_.empty() || head_len + nonce_len + len + tag_len > max_ticket_len) return {};
  const Key& key = keys_.front();
  const Secret content = encode(state);
  Bytes ticket{ticket_version};
  append(ticket, key.id);
  ticket.resize(head_len + nonce_len + content.size() + tag_len);
  random_.fill(MutableByteView(ticket).subspan(head_len, nonce_len));
  crypto_aead_xchacha20poly1305_ietf_encrypt(&ticket[head_len + nonce_len], nullptr, content.view().data(),
                                             content.size(), ticket.data(), head_len, nullptr, &ticket[head_len],
                                             key.secret.view().data());
  return ticket;
}

std::optional<TicketState> TicketBox::open(UnixSeconds now, ByteView ticket) const {
  if (ticket.size() < head_len + nonce_len + tag_len || ticket.size() > max_ticket_len) return std::nullopt;
  const Key* key = key_of(ticket.subspan(1, id_len));
  if (ticket[0] != ticket_version || !key) return std::nullopt;
  const ByteView sealed = ticket.subspan(head_len + nonce_len);
  Secret content(sealed.size() - tag_len);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(content.mutable_view().data(), nullptr, nullptr, sealed.data(),
                                                 sealed.size(), ticket.data(), head_len, &ticket[head_len],
                                                 key->secret.view().data()) != 0)
    return std::nullopt;
  auto state = decode(content.view());
  if (!state || state->expires <= now || state->authenticated > now) return std::nullopt;
  if (std::ranges::find(spent_, crypto::sha256({ticket})) != spent_.end()) return std::nullopt;
  return state;
}

void TicketBox::spend(ByteView ticket) {
  spent_.push_back(crypto::sha256({ticket}));
  if (spent_.size() > max_spent) spent_.pop_front();
}

}  // namespace culvert::ike
