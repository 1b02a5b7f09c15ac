#include "culvert/config/secret_file.h"

#include "fixture.h"

using namespace culvert::config;
using namespace culvert::config::test;

namespace {

std::string why_not(const Folder& folder, std::string_view name) {
  const auto psk = read_psk(folder.file(name));
  REQUIRE_FALSE(psk.has_value());
  return psk.error().detail;
}

std::string psk_in(std::string_view content) {
  const Folder folder;
  const auto psk = read_psk(folder.write("k", content));
  if (!psk) return "ERROR " + psk.error().detail;
  return std::string(culvert::as_text(psk->view()));
}

}  // namespace

TEST_CASE("a secret file that group or others may touch is refused") {
  const Folder folder;
  for (const ::mode_t mode : {0640u, 0604u, 0620u, 0602u, 0610u, 0601u, 0644u, 0666u, 0777u}) {
    CAPTURE(mode);
    folder.write("k", "a key of enough bytes\n", mode);
    CHECK(why_not(folder, "k").find("chmod 600") != std::string::npos);
  }
  for (const ::mode_t mode : {0600u, 0400u}) {
    folder.write("fine", "a key of enough bytes\n", 0600);
    REQUIRE(::chmod(folder.file("fine").c_str(), mode) == 0);
    CHECK(read_psk(folder.file("fine")).has_value());
  }
}

TEST_CASE("a secret file that is missing, or no regular file, is named") {
  const Folder folder;
  CHECK(why_not(folder, "none").find("does not exist: make one with culvert genpsk") != std::string::npos);
  CHECK(why_not(folder, ".").find("is not a regular file") != std::string::npos);
  REQUIRE(::mkfifo(folder.file("fifo").c_str(), 0600) == 0);
  CHECK(why_not(folder, "fifo").find("is not a regular file") != std::string::npos);
  CHECK(read_psk(folder.file("none")).error().code == culvert::Errc::not_found);
}

TEST_CASE("a secret file of someone else is refused") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: not root");
    return;
  }
  const Folder folder;
  folder.write("k", "a key of enough bytes\n");
  REQUIRE(::chown(folder.file("k").c_str(), 65534, 65534) == 0);
  CHECK(why_not(folder, "k").find("belongs to uid 65534") != std::string::npos);
}

TEST_CASE("a key is one line of text, taken as it is but for its line end") {
  CHECK(psk_in("correct horse battery\n") == "correct horse battery");
  CHECK(psk_in("correct horse battery\r\n") == "correct horse battery");
  CHECK(psk_in("correct horse battery") == "correct horse battery");
  CHECK(psk_in(" blanks count \n") == " blanks count ");
  CHECK(psk_in("schlüssel\n") == "schlüssel");
  CHECK(psk_in("first line\nsecond line\n").find("one line with the key is expected") != std::string::npos);
  CHECK(psk_in(std::string_view("nul\0inside it", 13)).find("one line") != std::string::npos);
}

// Hex and base64 of these bytes by xxd(1) and base64(1).
TEST_CASE("a key is given in hex after 0x and in base64 after 0s") {
  CHECK(psk_in("0x636f727265637420686f727365\n") == "correct horse");
  CHECK(psk_in("0x636F727265637420686F727365") == "correct horse");
  CHECK(psk_in("0sY29ycmVjdCBob3JzZQ==\n") == "correct horse");
  CHECK(psk_in("0sY29ycmVjdCBob3JzZQ\n") == "correct horse");
  CHECK(psk_in("0x636f727265637420686f72736\n").find("even number of hex digits") != std::string::npos);
  CHECK(psk_in("0x636f727265637420686f7273zz\n").find("hex digits") != std::string::npos);
  CHECK(psk_in("0sY29ycmVjdCBob3JzZ!==\n").find("base64") != std::string::npos);
  CHECK(psk_in("0sY29ycmVjdCBob3JzZQ==trailing\n").find("base64") != std::string::npos);
  CHECK(psk_in("0x\n").find("no key behind its prefix") != std::string::npos);
  CHECK(psk_in("0s\n").find("no key behind its prefix") != std::string::npos);
}

TEST_CASE("a key that is empty, too short or too long is refused") {
  CHECK(psk_in("").find("is empty") != std::string::npos);
  CHECK(psk_in("\n").find("is empty") != std::string::npos);
  CHECK(psk_in("seven b\n").find("has 7 bytes, at least 8") != std::string::npos);
  CHECK(psk_in("0x00010203040506\n").find("has 7 bytes") != std::string::npos);
  CHECK(psk_in(std::string(64 * 1024 + 1, 'k')).find("longer than 65536 bytes") != std::string::npos);
  CHECK(psk_in("eight by\n") == "eight by");
}

TEST_CASE("a message about a secret never holds it") {
  CHECK(psk_in("0xsecret-word\n").find("secret-word") == std::string::npos);
  CHECK(psk_in("0ssecret!word\n").find("secret!word") == std::string::npos);
  CHECK(psk_in("hunter2\n").find("hunter2") == std::string::npos);
}

TEST_CASE("the place of a secret file's mistake is its name in the configuration") {
  const Folder folder;
  folder.write("open.psk", "a key of enough bytes\n", 0644);
  const auto config = parse(replaced(sound_gre, "good.psk", "open.psk"), folder.file("gw.toml"));
  REQUIRE_FALSE(config.has_value());
  REQUIRE(config.error().size() == 1);
  CHECK(config.error()[0].line == 7);
  CHECK(config.error()[0].column == 21);
  CHECK(config.error()[0].key == "peer.tokyo.auth.psk_file");
}
