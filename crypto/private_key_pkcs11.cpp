// Debian 12 has OpenSSL's PKCS#11 as an engine only (libengine-pkcs11-openssl), and no provider; OpenSSL 3.0 marks the
// engine interface as deprecated. This file alone uses it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "private_key_pkcs11.h"

#include <openssl/crypto.h>
#include <openssl/engine.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <string>

#include "openssl_handle.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t max_uri_len = 1024;
const std::string default_module = "p11-kit-proxy.so";  // all that the system has registered; found as libraries are

Result<ENGINE*> load_engine() {
  ENGINE_load_dynamic();
  const char* folder = OPENSSL_info(OPENSSL_INFO_ENGINES_DIR);
  const std::string library = std::string(folder ? folder : "") + "/pkcs11.so";
  ENGINE* engine = ENGINE_by_id("dynamic");
  if (!engine || ENGINE_ctrl_cmd_string(engine, "SO_PATH", library.c_str(), 0) != 1 ||
      ENGINE_ctrl_cmd_string(engine, "ID", "pkcs11", 0) != 1 ||
      ENGINE_ctrl_cmd_string(engine, "LIST_ADD", "0", 0) != 1 ||
      ENGINE_ctrl_cmd_string(engine, "LOAD", nullptr, 0) != 1) {
    if (engine) ENGINE_free(engine);
    return openssl_failure(Errc::unsupported,
                           "PKCS#11: OpenSSL's engine is missing (Debian package libengine-pkcs11-openssl)");
  }
  return engine;
}

/// OpenSSL's PKCS#11 engine: one for the process and never unloaded (it does not survive a second one), with one
/// module, which it never lets go of, nor of the login to a token.
class Engine {
 public:
  static Engine& instance() {
    static Engine* const engine = new Engine;  // never destroyed: keys may outlive every other static
    return *engine;
  }

  Result<std::shared_ptr<EVP_PKEY>> load(const std::string& uri, const std::string& module, const Secret& pin) {
    const std::lock_guard lock(mutex_);  // module and PIN are settings of the engine
    if (!engine_) {
      const auto engine = load_engine();
      if (!engine) return std::unexpected(engine.error());
      engine_ = *engine;
    }
    if (!module_.empty() && module != module_)
      return fail(Errc::unsupported,
                  "PKCS#11: " + module_ + " is in use, and a process has one module (p11-kit joins several)");
    if (auto started = start(module); !started) return std::unexpected(started.error());
    EVP_PKEY* key = set_pin(pin) ? ENGINE_load_private_key(engine_, uri.c_str(), nullptr, nullptr) : nullptr;
    if (!key) {
      ENGINE_finish(engine_);
      return openssl_failure(Errc::not_found, "PKCS#11: no private key at " + uri + " in " + module);
    }
    module_ = module;
    return std::shared_ptr<EVP_PKEY>(key, [this](EVP_PKEY* what) { drop(what); });
  }

 private:
  Engine() = default;

  Result<void> start(const std::string& module) {
    if (module_.empty() && ENGINE_ctrl_cmd_string(engine_, "MODULE_PATH", module.c_str(), 0) != 1)
      return openssl_failure(Errc::not_found, "PKCS#11: the module " + module);
    if (ENGINE_init(engine_) != 1) return openssl_failure(Errc::not_found, "PKCS#11: the module " + module);
    return {};
  }

  bool set_pin(const Secret& pin) {
    if (pin.empty()) return true;
    Secret terminated(pin.size() + 1);
    std::ranges::copy(pin.view(), terminated.mutable_view().begin());
    return ENGINE_ctrl_cmd_string(engine_, "PIN", reinterpret_cast<const char*>(terminated.view().data()), 0) == 1;
  }

  void drop(EVP_PKEY* key) {
    const std::lock_guard lock(mutex_);
    EVP_PKEY_free(key);
    ENGINE_finish(engine_);
  }

  std::mutex mutex_;
  ENGINE* engine_ = nullptr;
  std::string module_;  // that has given us a key
};

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
  return Engine::instance().load(std::string(uri), module.empty() ? default_module : module.string(), pin);
}

}  // namespace culvert::crypto
