#include "pcapng.h"

#include <algorithm>
#include <bit>
#include <concepts>

namespace culvert::cli {
namespace {

// draft-ietf-opsawg-pcapng §4: block types, and options by the block that they stand in.
constexpr std::uint32_t section_block = 0x0A0D0D0A, interface_block = 1, statistics_block = 5, packet_block = 6;
constexpr std::uint32_t byte_order_magic = 0x1A2B3C4D;
constexpr std::uint16_t opt_end = 0, opt_comment = 1;
constexpr std::uint16_t shb_userappl = 4;
constexpr std::uint16_t if_name = 2, if_description = 3, if_tsresol = 9, if_filter = 11;
constexpr std::uint16_t epb_flags = 2;
constexpr std::uint16_t isb_starttime = 2, isb_endtime = 3, isb_osdrop = 7, isb_usrdeliv = 8;
constexpr std::uint8_t tsresol_ns = 9;          // if_tsresol: 10 to the power of -9
constexpr std::size_t max_option_len = 0xFFFC;  // what a 16-bit length can say, with its padding

template <std::unsigned_integral T>
void put_le(Bytes& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void pad_to_4(Bytes& out) {
  out.resize((out.size() + 3) & ~std::size_t{3});
}

void put_option(Bytes& out, std::uint16_t code, ByteView value) {
  value = value.first(std::min(value.size(), max_option_len));
  put_le(out, code);
  put_le(out, static_cast<std::uint16_t>(value.size()));
  append(out, value);
  pad_to_4(out);
}

void put_text(Bytes& out, std::uint16_t code, const std::string& text) {
  if (!text.empty()) put_option(out, code, as_bytes(text));
}

/// Times are two halves, the high one first, whatever the byte order (§4.3).
void put_time(Bytes& out, std::uint64_t time) {
  put_le(out, static_cast<std::uint32_t>(time >> 32));
  put_le(out, static_cast<std::uint32_t>(time));
}

template <class Value>
void put_number(Bytes& out, std::uint16_t code, Value write) {
  Bytes value;
  write(value);
  put_option(out, code, value);
}

// §3.1
//   |                          PcapngBlock Type                           |
//   |                      PcapngBlock Total Length                       |
//   /                          PcapngBlock Body                           /   padded to 4 bytes
//   |                      PcapngBlock Total Length                       |
class PcapngBlock {
 public:
  PcapngBlock(Bytes& out, std::uint32_t type) : out_(out), start_(out.size()) {
    pad_to_4(out_);
    put_le(out_, type);
    put_le(out_, std::uint32_t{0});
  }
  ~PcapngBlock() {
    put_le(out_, opt_end);
    put_le(out_, std::uint16_t{0});
    const auto len = static_cast<std::uint32_t>(out_.size() + sizeof(std::uint32_t) - start_);
    put_le(out_, len);
    for (std::size_t i = 0; i < sizeof len; ++i) out_[start_ + 4 + i] = static_cast<std::uint8_t>(len >> (8 * i));
  }
  PcapngBlock(const PcapngBlock&) = delete;
  PcapngBlock& operator=(const PcapngBlock&) = delete;

 private:
  Bytes& out_;
  std::size_t start_;
};

}  // namespace

// §4.1: magic, version 1.0, and a length of the section that is not known yet.
void write_section(Bytes& out, const std::string& application) {
  const PcapngBlock block(out, section_block);
  put_le(out, byte_order_magic);
  put_le(out, std::uint16_t{1});
  put_le(out, std::uint16_t{0});
  put_le(out, ~std::uint64_t{0});
  put_text(out, shb_userappl, application);
}

// §4.2
void write_interface(Bytes& out, const PcapngInterface& interface) {
  const PcapngBlock block(out, interface_block);
  put_le(out, linktype_raw);
  put_le(out, std::uint16_t{0});
  put_le(out, interface.snaplen);
  put_text(out, if_name, interface.name);
  put_text(out, if_description, interface.description);
  put_option(out, if_tsresol, ByteView(&tsresol_ns, 1));
  // The first byte says what the filter is: 0 is an expression of libpcap (§4.2).
  if (!interface.filter.empty()) put_option(out, if_filter, as_bytes(std::string(1, '\0') + interface.filter));
}

// §4.3
void write_packet(Bytes& out, const PcapngPacket& packet) {
  const PcapngBlock block(out, packet_block);
  put_le(out, packet.interface);
  put_time(out, packet.time_ns);
  put_le(out, static_cast<std::uint32_t>(packet.bytes.size()));
  put_le(out, packet.original_len);
  append(out, packet.bytes);
  pad_to_4(out);
  put_text(out, opt_comment, packet.comment);
  if (packet.direction != PacketDirection::unknown)
    put_number(out, epb_flags, [&](Bytes& value) { put_le(value, static_cast<std::uint32_t>(packet.direction)); });
}

// §4.6
void write_statistics(Bytes& out, const PcapngStatistics& statistics) {
  const PcapngBlock block(out, statistics_block);
  put_le(out, statistics.interface);
  put_time(out, statistics.time_ns);
  put_text(out, opt_comment, statistics.comment);
  put_number(out, isb_starttime, [&](Bytes& value) { put_time(value, statistics.start_ns); });
  put_number(out, isb_endtime, [&](Bytes& value) { put_time(value, statistics.end_ns); });
  if (statistics.dropped) put_number(out, isb_osdrop, [&](Bytes& value) { put_le(value, *statistics.dropped); });
  put_number(out, isb_usrdeliv, [&](Bytes& value) { put_le(value, statistics.written); });
}

}  // namespace culvert::cli
