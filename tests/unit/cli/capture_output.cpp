#include "capture_output.h"

#include <doctest/doctest.h>
#include <pcap/pcap.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>

using namespace culvert;
using namespace culvert::cli;

namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

/// Packets that libpcap finds in the file, which it must be able to read to its end.
std::vector<std::size_t> lengths_in(const std::filesystem::path& file) {
  char text[PCAP_ERRBUF_SIZE] = "";
  pcap_t* handle = pcap_open_offline(file.c_str(), text);
  REQUIRE_MESSAGE(handle != nullptr, text);
  std::vector<std::size_t> lengths;
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  int got = 0;
  while ((got = pcap_next_ex(handle, &header, &bytes)) == 1) lengths.push_back(header->caplen);
  CHECK(got == PCAP_ERROR_BREAK);  // the end of the file
  pcap_close(handle);
  return lengths;
}

const CapturePlace inner{"cv0", "tunnel a", "", false}, outer{"outer", "IKE and ESP", "", true};

SeenPacket packet_of(const Bytes& bytes) {
  return {1, 3, PacketDirection::inbound, bytes, static_cast<std::uint32_t>(bytes.size())};
}

}  // namespace

TEST_CASE("a capture goes into a file for its owner alone, cut at the snaplen, and is counted") {
  const Folder folder;
  const auto file = folder.path / "x.pcapng";
  const Bytes bytes(500, 0x45);
  const auto before = umask(0);
  auto output = open_pcapng(file, false, 100);
  umask(before);
  REQUIRE(output);
  for (int i = 0; i < 3; ++i) CHECK((*output)->write(inner, packet_of(bytes)));
  CHECK((*output)->flush());
  CHECK(lengths_in(file).size() == 3);  // readable while it is being written
  CHECK((*output)->finish(0));
  CHECK(lengths_in(file) == std::vector<std::size_t>{100, 100, 100});
  CHECK((*output)->write(outer, packet_of(bytes)));
  CHECK((*output)->counts().inner == 3);
  CHECK((*output)->counts().outer == 1);
  CHECK((*output)->counts().bytes == 400);
  struct stat facts {};
  REQUIRE(lstat(file.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
}

TEST_CASE("a file that is there is written over on request only, a link is not followed, a pipe is left alone") {
  const Folder folder;
  const auto file = folder.path / "x.pcapng", link = folder.path / "link", elsewhere = folder.path / "elsewhere";
  REQUIRE(open_pcapng(file, false, 100));
  CHECK(open_pcapng(file, false, 100).error().code == Errc::invalid);
  CHECK(open_pcapng(file, true, 100));
  std::filesystem::create_symlink(elsewhere, link);
  CHECK(open_pcapng(link, false, 100).error().code == Errc::invalid);
  CHECK(open_pcapng(link, true, 100));
  CHECK_FALSE(std::filesystem::exists(elsewhere));
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(link)));
  const auto pipe = folder.path / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(open_pcapng(pipe, true, 100).error().code == Errc::invalid);
  CHECK(std::filesystem::is_fifo(pipe));
}

TEST_CASE("where no more can be written the file ends with a whole block, and the error says why") {
  const Folder folder;
  const auto file = folder.path / "x.pcapng";
  auto output = open_pcapng(file, false, 100);
  REQUIRE(output);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{1000, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  Result<void> result;
  const Bytes bytes(90, 0x45);
  int written = 0;
  for (; written < 100 && result; ++written) {
    REQUIRE((*output)->write(inner, packet_of(bytes)));
    result = (*output)->flush();
  }
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old);
  REQUIRE_FALSE(result);
  CHECK(result.error().system_error == EFBIG);
  CHECK(lengths_in(file).size() == static_cast<std::size_t>(written - 1));
}
