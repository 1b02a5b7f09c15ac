// IKE datagrams as they come off the wire, before any key: the header, the plain payloads, and all that is done with
// them.
#include "ike_exercise.h"

using namespace culvert;
using namespace culvert::ike;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  const auto header = parse_header(bytes);
  const auto message = parse(bytes);
  if (!message) return 0;
  require(header.has_value());
  require(message->payloads.size() <= max_payloads);
  if (message->encrypted) {
    require(message->encrypted->body_offset + message->encrypted->body_len == size);
    require(message->encrypted->header_offset + 4 == message->encrypted->body_offset);
    static const auto key =
        SkProtection::create(crypto::CipherSuite::aes_cbc_128_sha2_256_128, Bytes(16, 1), Bytes(32, 2));
    require(!key->open(bytes, *message).has_value());
  }
  fuzz::exercise_all(message->payloads);
  return 0;
}

/// Puts the length of the datagram right, so that mutations get past the header.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size >= header_len && seed % 8 != 0) {
    store_be(data + 24, static_cast<std::uint32_t>(size));
    data[17] = 0x20;
  }
  return size;
}
