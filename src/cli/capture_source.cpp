#include "capture_source.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <optional>

#include "culvert/wire/protocol.h"

namespace culvert::cli {
namespace {

constexpr int whole_packet = 262144;   // super-packets of 64 KiB, and what comes after them
constexpr int buffer_size = 32 << 20;  // bytes
constexpr int wait_ms = 50;            // that a block of the ring may wait to be filled
constexpr int max_packets_at_once = 512;
constexpr std::size_t cooked_header_len = 20;
constexpr std::uint8_t to_others = 3, outgoing = 4;  // packet(7): sll_pkttype
constexpr std::uint16_t arphrd_loopback = 772;       // ARPHRD_LOOPBACK

struct FilterProgram : bpf_program {
  FilterProgram() : bpf_program{} {}
  FilterProgram(const FilterProgram&) = delete;
  FilterProgram& operator=(const FilterProgram&) = delete;
  ~FilterProgram() { pcap_freecode(this); }
};

Result<void> compile_filter(pcap_t* handle, const std::string& expression, FilterProgram& program) {
  if (pcap_compile(handle, &program, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) == 0) return {};
  return fail(Errc::invalid, pcap_geterr(handle));
}

struct Reading {
  const std::function<bool(const SeenPacket&)>& each;
  pcap_t* handle;
  bool more = true;
};

void on_packet(u_char* user, const pcap_pkthdr* header, const u_char* bytes) {
  auto& reading = *reinterpret_cast<Reading*>(user);
  SeenPacket packet;
  // With nanoseconds asked for tv_usec has them.
  packet.time_ns =
      static_cast<std::uint64_t>(header->ts.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(header->ts.tv_usec);
  if (!reading.more || !parse_cooked({bytes, header->caplen}, header->len, packet)) return;
  if (reading.each(packet)) return;
  reading.more = false;
  pcap_breakloop(reading.handle);
}

}  // namespace

void CaptureSource::Close::operator()(pcap* handle) const noexcept {
  pcap_close(handle);
}

Result<CaptureSource> CaptureSource::open() {
  char text[PCAP_ERRBUF_SIZE] = "";
  CaptureSource source;
  source.handle_.reset(pcap_create("any", text));
  pcap_t* handle = source.handle_.get();
  if (!handle) return fail(Errc::io, text);
  pcap_set_snaplen(handle, whole_packet);
  pcap_set_buffer_size(handle, buffer_size);
  pcap_set_timeout(handle, wait_ms);
  pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO);
  const int activated = pcap_activate(handle);
  if (activated == PCAP_ERROR_PERM_DENIED) return fail(Errc::io, "only root (CAP_NET_RAW) may capture packets");
  if (activated < 0) return fail(Errc::io, fmt::format("{}: {}", pcap_statustostr(activated), pcap_geterr(handle)));
  if (pcap_set_datalink(handle, DLT_LINUX_SLL2) != 0 || pcap_setnonblock(handle, 1, text) != 0)
    return fail(Errc::io, pcap_geterr(handle));
  source.fd_ = pcap_get_selectable_fd(handle);
  return source;
}

Result<void> CaptureSource::set_filter(const std::string& expression) {
  FilterProgram program;
  if (auto compiled = compile_filter(handle_.get(), expression, program); !compiled) return compiled;
  if (pcap_setfilter(handle_.get(), &program) != 0) return fail(Errc::io, pcap_geterr(handle_.get()));
  return {};
}

Result<bool> CaptureSource::read(const std::function<bool(const SeenPacket&)>& each) {
  Reading reading{each, handle_.get()};
  const int done = pcap_dispatch(handle_.get(), max_packets_at_once, on_packet, reinterpret_cast<u_char*>(&reading));
  if (done == PCAP_ERROR) return fail(Errc::io, pcap_geterr(handle_.get()));
  return reading.more;
}

std::uint64_t CaptureSource::dropped() const {
  pcap_stat stats{};
  return pcap_stats(handle_.get(), &stats) == 0 ? stats.ps_drop : 0;
}

Result<void> CaptureSource::check(const std::string& expression) {
  const std::unique_ptr<pcap, Close> handle(pcap_open_dead(DLT_LINUX_SLL2, whole_packet));
  FilterProgram program;
  return compile_filter(handle.get(), expression, program);
}

// LINKTYPE_LINUX_SLL2
//   |        Protocol type          |           Reserved            |
//   |                       Interface index                         |
//   |        ARPHRD type            |  Packet type  | Address length|
//   |                  Link-layer address (8 bytes)                 |
bool parse_cooked(ByteView bytes, std::uint32_t original_len, SeenPacket& packet) {
  if (bytes.size() < cooked_header_len || original_len < bytes.size()) return false;
  const auto protocol = load_be<std::uint16_t>(bytes.data());
  if (protocol != wire::ethertype_ipv4 && protocol != wire::ethertype_ipv6) return false;
  const std::uint8_t type = bytes[10];
  const bool is_loopback = load_be<std::uint16_t>(&bytes[8]) == arphrd_loopback;
  if (type == to_others || (is_loopback && type == outgoing)) return false;  // it comes in there, too
  packet.ifindex = static_cast<int>(load_be<std::uint32_t>(&bytes[4]) & 0x7FFFFFFF);
  packet.direction = is_loopback        ? PacketDirection::unknown
                     : type == outgoing ? PacketDirection::outbound
                                        : PacketDirection::inbound;
  packet.bytes = bytes.subspan(cooked_header_len);
  packet.original_len = original_len - static_cast<std::uint32_t>(cooked_header_len);
  return true;
}

}  // namespace culvert::cli
