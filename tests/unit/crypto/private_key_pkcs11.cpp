#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

const std::filesystem::path module = "/usr/lib/softhsm/libsofthsm2.so";
constexpr std::string_view pin = "4711";
const Bytes message = hex("00112233445566778899aabbccddeeff");

int run(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  if (error == 0) ::waitpid(child, &status, 0);
  return status;
}

/// A token in a folder of its own, with the keys that are imported. One for the life of the process: PKCS#11 modules
/// read their configuration once.
class SoftToken {
 public:
  SoftToken() {
    REQUIRE_MESSAGE(std::filesystem::exists(module), "install softhsm2");
    std::string folder = std::filesystem::temp_directory_path() / "culvert_token_XXXXXX";
    REQUIRE(::mkdtemp(folder.data()));
    folder_ = folder;
    std::filesystem::create_directory(folder_ / "tokens");
    std::ofstream(folder_ / "softhsm2.conf") << "directories.tokendir = " << (folder_ / "tokens").string()
                                             << "\nobjectstore.backend = file\nlog.level = ERROR\n";
    ::setenv("SOFTHSM2_CONF", (folder_ / "softhsm2.conf").c_str(), 1);
    REQUIRE(run({"softhsm2-util", "--init-token", "--free", "--label", "culvert", "--pin", std::string(pin), "--so-pin",
                 "4711"}) == 0);
  }
  ~SoftToken() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  void import(const PrivateKey& key, const std::string& label, const std::string& id) const {
    const std::filesystem::path file = folder_ / (label + ".pem");
    const Secret pem = key.to_pem({}).value();
    std::ofstream(file) << as_text(pem.view());
    REQUIRE(run({"softhsm2-util", "--import", file, "--token", "culvert", "--label", label, "--id", id, "--pin",
                 std::string(pin)}) == 0);
  }

 private:
  std::filesystem::path folder_;
};

Result<PrivateKey> load(const std::string& uri, std::string_view with_pin = pin) {
  return PrivateKey::from_pkcs11(uri, module, Secret::copy_of(as_bytes(with_pin)));
}

}  // namespace

// The token is SoftHSM's: another implementation of RSA and ECDSA signatures behind PKCS#11. The public key is the one
// that was imported, so what verifies was made with its private half.
TEST_CASE("keys in a PKCS#11 token sign for every method that their kind has, from several threads") {
  const SoftToken token;
  // A wrong module and a wrong PIN at first do no lasting harm.
  CHECK(PrivateKey::from_pkcs11("pkcs11:object=rsa", "/nonexistent.so", {}).error().code == Errc::not_found);
  const PrivateKey rsa = new_key(KeyType::rsa);
  const PrivateKey ecdsa = new_key(KeyType::ecdsa_p256);
  const PrivateKey ecdsa384 = new_key(KeyType::ecdsa_p384);
  token.import(rsa, "rsa", "01");
  token.import(ecdsa, "ecdsa", "02");
  token.import(ecdsa384, "ecdsa384", "03");
  CHECK(load("pkcs11:token=culvert;object=rsa;type=private", "0815").error().code == Errc::not_found);
  for (const auto& [label, own] : {std::pair("rsa", rsa), std::pair("ecdsa", ecdsa), std::pair("ecdsa384", ecdsa384)}) {
    CAPTURE(std::string(label));
    const auto key = load("pkcs11:token=culvert;object=" + std::string(label) + ";type=private");
    REQUIRE_MESSAGE(key, key.error().detail);
    CHECK(key->public_key() == own.public_key());
    CHECK(key->to_pem({}).error().code == Errc::unsupported);
    for (const RsaPadding padding : {RsaPadding::pss, RsaPadding::pkcs1}) {
      const auto scheme = choose_scheme(own.public_key().type(), own.public_key().bits(), HashSet::ours(), padding);
      const auto auth = key->sign_digital_signature(*scheme, message);
      REQUIRE_MESSAGE(auth, auth.error().detail);
      CHECK(own.public_key().verify_digital_signature(*auth, message, HashSet::ours()));
    }
    const auto method = classic_method(own.public_key().type());
    CHECK(own.public_key().verify_classic(*method, key->sign_classic(message).value(), message));

    std::atomic<int> num_good = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        const auto scheme = choose_scheme(own.public_key().type(), own.public_key().bits(), HashSet::ours());
        for (int i = 0; i < 25; ++i) {
          const auto auth = key->sign_digital_signature(*scheme, message);
          if (auth && own.public_key().verify_digital_signature(*auth, message, HashSet::ours())) ++num_good;
        }
      });
    }
    threads.clear();
    CHECK(num_good == 100);
  }

  const std::string uri = "pkcs11:token=culvert;object=rsa;type=private";
  CHECK(load(uri)->sign_classic(message));                                                       // all others are gone
  CHECK(PrivateKey::from_pkcs11(uri, "/nonexistent.so", {}).error().code == Errc::unsupported);  // one module

  CHECK(load("pkcs11:token=culvert;object=nothing;type=private").error().code == Errc::not_found);
  CHECK(load("pkcs11:token=other;object=rsa;type=private").error().code == Errc::not_found);
}

TEST_CASE("a PKCS#11 URI with a PIN in it, or no URI at all, is refused") {
  CHECK(load("pkcs11:object=rsa?pin-value=4711").error().code == Errc::invalid);
  CHECK(load("pkcs11:object=rsa?PIN-Source=file:/etc/pin").error().code == Errc::invalid);
  CHECK(load("/etc/key.pem").error().code == Errc::malformed);
  CHECK(load("pkcs11:" + std::string(2000, 'a')).error().code == Errc::malformed);
}
