#include "pcapng.h"

#include <doctest/doctest.h>
#include <pcap/pcap.h>

#include <cstdio>
#include <cstring>
#include <vector>

using namespace culvert;
using namespace culvert::cli;

namespace {

/// What libpcap reads of a file with these bytes.
struct Read {
  Bytes bytes;
  std::uint32_t original_len;
  long seconds, nanoseconds;
};
std::vector<Read> read_by_libpcap(Bytes file, std::string& error) {
  char text[PCAP_ERRBUF_SIZE] = "";
  std::FILE* stream = fmemopen(file.data(), file.size(), "rb");
  pcap_t* handle = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, text);
  std::vector<Read> packets;
  if (!handle) {
    error = text;
    std::fclose(stream);
    return packets;
  }
  CHECK(pcap_datalink(handle) == DLT_RAW);
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  int got = 0;
  while ((got = pcap_next_ex(handle, &header, &bytes)) == 1)
    packets.push_back({Bytes(bytes, bytes + header->caplen), header->len, header->ts.tv_sec, header->ts.tv_usec});
  if (got == PCAP_ERROR) error = pcap_geterr(handle);
  pcap_close(handle);
  return packets;
}

}  // namespace

// The octets follow draft-ietf-opsawg-pcapng §4, in little-endian order, written out by hand.
TEST_CASE("the blocks of pcapng have the octets that the draft gives them") {
  Bytes section;
  write_section(section, "abc");
  CHECK(section == Bytes{0x0a, 0x0d, 0x0d, 0x0a, 40,   0,    0,    0,    0x4d, 0x3c, 0x2b, 0x1a, 1, 0,
                         0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4,    0,    3, 0,
                         'a',  'b',  'c',  0,    0,    0,    0,    0,    40,   0,    0,    0});
  Bytes interface;
  write_interface(interface, {"cv0", "", "ip", 0x1234});
  CHECK(interface == Bytes{1, 0, 0, 0, 48, 0, 0, 0, 101, 0, 0, 0, 0x34, 0x12, 0,   0, 2, 0, 3, 0, 'c', 'v', '0', 0,
                           9, 0, 1, 0, 9,  0, 0, 0, 11,  0, 3, 0, 0,    'i',  'p', 0, 0, 0, 0, 0, 48,  0,   0,   0});
  Bytes packet;
  const Bytes bytes{0x45, 1, 2, 3, 4};
  write_packet(packet, {3, 0x0102030405060708, bytes, 1500, PacketDirection::outbound, "x"});
  CHECK(packet == Bytes{6,   0, 0, 0, 60,   0, 0, 0, 3,    0, 0, 0, 4, 3, 2, 1, 8,  7, 6, 5,
                        5,   0, 0, 0, 0xdc, 5, 0, 0, 0x45, 1, 2, 3, 4, 0, 0, 0, 1,  0, 1, 0,
                        'x', 0, 0, 0, 2,    0, 4, 0, 2,    0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0});
  Bytes statistics;
  write_statistics(statistics, {1, 0x0000000200000003, 5, 6, 7, 8, ""});
  CHECK(statistics == Bytes{5, 0, 0, 0, 76, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2,  0, 8, 0, 0, 0,
                            0, 0, 5, 0, 0,  0, 3, 0, 8, 0, 0, 0, 0, 0, 6, 0, 0, 0, 7, 0, 8,  0, 8, 0, 0, 0,
                            0, 0, 0, 0, 8,  0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 76, 0, 0, 0});
}

// libpcap 1.10.3 takes LINKTYPE_RAW of a second interface for another type than that of the first: files with several
// are read by tshark, in tests/lab.
TEST_CASE("libpcap reads what we write: packets of every length, with the time to the nanosecond") {
  Bytes file;
  write_section(file, "culvert");
  write_interface(file, {"cv0", "tunnel a", "", 262144});
  std::vector<Bytes> sent;
  for (std::size_t len = 0; len < 70; ++len) {
    sent.emplace_back(len, static_cast<std::uint8_t>(len));
    write_packet(file, {0, 1'700'000'000'000'000'000 + len, sent.back(), static_cast<std::uint32_t>(len + 5),
                        PacketDirection::inbound, len % 3 ? "" : "dropped: replay"});
  }
  write_statistics(file, {0, 1, 2, 3, 35, 0, "none"});
  CHECK(file.size() % 4 == 0);
  std::string error;
  const auto packets = read_by_libpcap(file, error);
  CHECK(error.empty());
  REQUIRE(packets.size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CHECK(packets[i].bytes == sent[i]);
    CHECK(packets[i].original_len == i + 5);
    CHECK(packets[i].seconds == 1'700'000'000);
    CHECK(packets[i].nanoseconds == static_cast<long>(i));
  }
}

TEST_CASE("text that is too long for an option is cut, and the file stays readable") {
  Bytes file;
  write_section(file, std::string(70'000, 's'));
  write_interface(file, {std::string(70'000, 'n'), "", std::string(70'000, 'f'), 100});
  const Bytes bytes{0x60, 0};
  write_packet(file, {0, 1, bytes, 2, PacketDirection::unknown, std::string(70'000, 'c')});
  std::string error;
  CHECK(read_by_libpcap(file, error).size() == 1);
  CHECK(error.empty());
}
