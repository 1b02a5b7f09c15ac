// Debian 12 has OpenSSL's PKCS#11 as an engine only (libengine-pkcs11-openssl), and no provider; OpenSSL 3.0 marks the
// engine interface as deprecated. This file alone uses it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "private_key_pkcs11.h"

#include <openssl/engine.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <mutex>
#include <string>

#include "openssl_handle.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t max_uri_len = 1024;

using Engine = std::shared_ptr<ENGINE>;

void release(ENGINE* engine) {
  ENGINE_finish(engine);
  ENGINE_free(engine);
}

Result<Engine> start_engine(const std::string& module) {
  ENGINE_load_dynamic();
  // An engine of our own for each module: ENGINE_by_id("pkcs11") would give the same one twice.
  ENGINE* dynamic = ENGINE_by_id("dynamic");
  if (!dynamic || ENGINE_ctrl_cmd_string(dynamic, "SO_PATH", "pkcs11", 0) != 1 ||
      ENGINE_ctrl_cmd_string(dynamic, "ID", "pkcs11", 0) != 1 ||
      ENGINE_ctrl_cmd_string(dynamic, "LIST_ADD", "0", 0) != 1 ||
      ENGINE_ctrl_cmd_string(dynamic, "DIR_LOAD", "1", 0) != 1 ||
      ENGINE_ctrl_cmd_string(dynamic, "LOAD", nullptr, 0) != 1) {
    if (dynamic) ENGINE_free(dynamic);
    return openssl_failure(Errc::unsupported,
                           "PKCS#11: OpenSSL's engine is missing (Debian package libengine-pkcs11-openssl)");
  }
  if ((!module.empty() && ENGINE_ctrl_cmd_string(dynamic, "MODULE_PATH", module.c_str(), 0) != 1) ||
      ENGINE_init(dynamic) != 1) {
    ENGINE_free(dynamic);
    return openssl_failure(Errc::not_found, "PKCS#11: the module " + (module.empty() ? "of p11-kit" : module));
  }
  return Engine(dynamic, release);
}

/// The engine of a module, started once for the life of the process: PKCS#11 allows one C_Initialize only, and keys
/// refer to it.
Result<Engine> engine_of(const std::string& module) {
  static std::mutex mutex;
  static std::map<std::string, Engine> started;
  const std::lock_guard lock(mutex);
  const auto found = started.find(module);
  if (found != started.end()) return found->second;
  auto engine = start_engine(module);
  if (engine) started.emplace(module, *engine);
  return engine;
}

bool carries_pin(std::string_view uri) {
  std::string lower(uri);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find("pin-value") != std::string::npos || lower.find("pin-source") != std::string::npos;
}

}  // namespace

Result<std::shared_ptr<EVP_PKEY>> load_pkcs11_key(std::string_view uri, const std::filesystem::path& module,
                                                  const Secret& pin) {
  if (!uri.starts_with("pkcs11:") || uri.size() > max_uri_len || uri.find('\0') != std::string_view::npos)
    return fail(Errc::malformed, "PKCS#11: expected a URI such as pkcs11:token=NAME;object=KEY");
  if (carries_pin(uri)) return fail(Errc::invalid, "PKCS#11: the PIN stands in a file of its own, not in the URI");
  const auto engine = engine_of(module.string());
  if (!engine) return std::unexpected(engine.error());
  static std::mutex mutex;  // the PIN is a setting of the engine: one load at a time
  const std::lock_guard lock(mutex);
  Secret terminated(pin.size() + 1);
  std::ranges::copy(pin.view(), terminated.mutable_view().begin());
  const char* pin_text = reinterpret_cast<const char*>(terminated.view().data());
  if (!pin.empty() && ENGINE_ctrl_cmd_string(engine->get(), "PIN", pin_text, 0) != 1)
    return openssl_failure(Errc::invalid, "PKCS#11: the PIN");
  EVP_PKEY* key = ENGINE_load_private_key(engine->get(), std::string(uri).c_str(), nullptr, nullptr);
  if (!key) return openssl_failure(Errc::not_found, "PKCS#11: no private key at " + std::string(uri));
  return std::shared_ptr<EVP_PKEY>(key, [owner = *engine](EVP_PKEY* what) { EVP_PKEY_free(what); });
}

}  // namespace culvert::crypto
