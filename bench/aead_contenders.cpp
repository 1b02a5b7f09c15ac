#include "aead_contenders.h"

#include <intel-ipsec-mb.h>
#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "culvert/crypto/aead.h"

namespace culvert::bench {
namespace {

using namespace crypto;

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "aead_bench: %s\n", why);
  std::exit(1);
}

// ---- culvert: any of its implementations.

std::function<std::size_t()> run_culvert(std::string_view name, const Work& work, const Bytes& key_bytes,
                                         Burst& burst) {
  if (!select_aead_implementation(name)) give_up("an implementation went missing");
  const CipherSuite suite = work.key_len == 32 ? CipherSuite::aes_gcm_16_256 : CipherSuite::aes_gcm_16_128;
  auto made = AeadKey::create(suite, key_bytes, {}, AadLayout::prefix);
  if (!made) give_up("no key");
  auto jobs = std::make_shared<std::vector<AeadJob>>(burst.packets.size());
  std::shared_ptr<AeadKey> key(std::move(*made));
  return [key, jobs, &burst, seal = work.seal] {
    for (std::size_t i = 0; i < jobs->size(); ++i) {
      Packet& packet = burst.packets[i];
      (*jobs)[i] = {.key = key.get(),
                    .aad = packet.aad.data(),
                    .iv = packet.nonce.data() + 4,
                    .src = seal ? packet.plain : packet.sealed,
                    .dst = packet.out,
                    .icv = seal ? packet.out_icv.data() : packet.icv.data(),
                    .aad_len = aad_len,
                    .len = packet.len};
    }
    seal ? seal_batch(*jobs) : open_batch(*jobs);
    std::size_t accepted = 0;
    for (const AeadJob& job : *jobs) accepted += job.ok;
    return accepted;
  };
}

// ---- OpenSSL: plain EVP, one context for all packets, keyed once.

std::function<std::size_t()> run_evp(const Work& work, const Bytes& key, Burst& burst) {
  std::shared_ptr<EVP_CIPHER_CTX> ctx(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  const EVP_CIPHER* cipher = work.key_len == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
  if (!ctx || EVP_CipherInit_ex(ctx.get(), cipher, nullptr, key.data(), nullptr, work.seal) != 1) give_up("EVP");
  if (work.seal) {
    return [ctx, &burst] {
      std::size_t accepted = 0;
      int len = 0;
      for (Packet& p : burst.packets) {
        bool ok = EVP_EncryptInit_ex(ctx.get(), nullptr, nullptr, nullptr, p.nonce.data()) == 1;
        ok &= EVP_EncryptUpdate(ctx.get(), nullptr, &len, p.aad.data(), aad_len) == 1;
        ok &= EVP_EncryptUpdate(ctx.get(), p.out, &len, p.plain, static_cast<int>(p.len)) == 1;
        ok &= EVP_EncryptFinal_ex(ctx.get(), p.out_icv.data(), &len) == 1;
        ok &= EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, 16, p.out_icv.data()) == 1;
        accepted += ok;
      }
      return accepted;
    };
  }
  return [ctx, &burst] {
    std::size_t accepted = 0;
    int len = 0;
    for (Packet& p : burst.packets) {
      bool ok = EVP_DecryptInit_ex(ctx.get(), nullptr, nullptr, nullptr, p.nonce.data()) == 1;
      ok &= EVP_DecryptUpdate(ctx.get(), nullptr, &len, p.aad.data(), aad_len) == 1;
      ok &= EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, 16, p.icv.data()) == 1;
      ok &= EVP_DecryptUpdate(ctx.get(), p.out, &len, p.sealed, static_cast<int>(p.len)) == 1;
      ok &= EVP_DecryptFinal_ex(ctx.get(), p.out_icv.data(), &len) == 1;
      accepted += ok;
    }
    return accepted;
  };
}

// ---- intel-ipsec-mb, as fast as it goes: the direct call for each packet, and bursts of jobs without checks.

struct IpsecMb {
  IMB_MGR* manager = alloc_mb_mgr(0);
  alignas(64) gcm_key_data key{};
  gcm_context_data context{};
  std::size_t key_len;

  IpsecMb(const Work& work, const Bytes& key_bytes) : key_len(work.key_len) {
    if (manager == nullptr) give_up("alloc_mb_mgr");
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(manager, &arch);
    key_len == 32 ? IMB_AES256_GCM_PRE(manager, key_bytes.data(), &key)
                  : IMB_AES128_GCM_PRE(manager, key_bytes.data(), &key);
  }
  ~IpsecMb() { free_mb_mgr(manager); }
  IpsecMb(const IpsecMb&) = delete;
  IpsecMb& operator=(const IpsecMb&) = delete;
};

// It leaves the comparison of the tag to its caller.
bool same_icv(const Packet& p) {
  std::array<std::uint64_t, 2> a, b;
  std::memcpy(a.data(), p.icv.data(), 16);
  std::memcpy(b.data(), p.out_icv.data(), 16);
  return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

std::function<std::size_t()> run_ipsec_mb_direct(const Work& work, const Bytes& key, Burst& burst) {
  auto mb = std::make_shared<IpsecMb>(work, key);
  const bool is_256 = work.key_len == 32;
  if (work.seal) {
    return [mb, &burst, call = is_256 ? mb->manager->gcm256_enc : mb->manager->gcm128_enc] {
      for (Packet& p : burst.packets) {
        call(&mb->key, &mb->context, p.out, p.plain, p.len, p.nonce.data(), p.aad.data(), aad_len, p.out_icv.data(),
             16);
      }
      return burst.packets.size();
    };
  }
  return [mb, &burst, call = is_256 ? mb->manager->gcm256_dec : mb->manager->gcm128_dec] {
    std::size_t accepted = 0;
    for (Packet& p : burst.packets) {
      call(&mb->key, &mb->context, p.out, p.sealed, p.len, p.nonce.data(), p.aad.data(), aad_len, p.out_icv.data(), 16);
      accepted += same_icv(p);
    }
    return accepted;
  };
}

void fill_job(IMB_JOB& job, IpsecMb& mb, const Work& work, Packet& p) {
  job.cipher_mode = IMB_CIPHER_GCM;
  job.hash_alg = IMB_AUTH_AES_GMAC;
  job.cipher_direction = work.seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  job.chain_order = work.seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job.enc_keys = job.dec_keys = &mb.key;
  job.key_len_in_bytes = mb.key_len;
  job.src = work.seal ? p.plain : p.sealed;
  job.dst = p.out;
  job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes = p.len;
  job.cipher_start_src_offset_in_bytes = job.hash_start_src_offset_in_bytes = 0;
  job.iv = p.nonce.data();
  job.iv_len_in_bytes = 12;
  job.u.GCM.aad = p.aad.data();
  job.u.GCM.aad_len_in_bytes = aad_len;
  job.auth_tag_output = p.out_icv.data();
  job.auth_tag_output_len_in_bytes = 16;
}

std::function<std::size_t()> run_ipsec_mb_burst(const Work& work, const Bytes& key, Burst& burst) {
  auto mb = std::make_shared<IpsecMb>(work, key);
  return [mb, &burst, work] {
    std::array<IMB_JOB*, IMB_MAX_BURST_SIZE> jobs;
    std::size_t accepted = 0;
    for (std::size_t at = 0; at < burst.packets.size();) {
      const std::size_t wanted = std::min<std::size_t>(burst.packets.size() - at, IMB_MAX_BURST_SIZE);
      const auto num = IMB_GET_NEXT_BURST(mb->manager, static_cast<std::uint32_t>(wanted), jobs.data());
      if (num == 0) give_up("IMB_GET_NEXT_BURST");
      for (std::uint32_t i = 0; i < num; ++i) fill_job(*jobs[i], *mb, work, burst.packets[at + i]);
      if (IMB_SUBMIT_BURST_NOCHECK(mb->manager, num, jobs.data()) != num) give_up("IMB_SUBMIT_BURST_NOCHECK");
      for (std::uint32_t i = 0; i < num; ++i) accepted += work.seal || same_icv(burst.packets[at + i]);
      at += num;
    }
    return accepted;
  };
}

}  // namespace

std::vector<Contender> make_contenders(const Work& work, const Bytes& key, Burst& burst) {
  std::vector<Contender> all;
  const std::string before(aead_implementation());
  for (const std::string_view name : aead_implementations())
    all.push_back({std::string(name), run_culvert(name, work, key, burst)});
  if (!select_aead_implementation(before)) give_up("the default went missing");
  all.push_back({"EVP", run_evp(work, key, burst)});
  all.push_back({"ipsec-mb direct", run_ipsec_mb_direct(work, key, burst)});
  all.push_back({"ipsec-mb burst", run_ipsec_mb_burst(work, key, burst)});
  return all;
}

}  // namespace culvert::bench
