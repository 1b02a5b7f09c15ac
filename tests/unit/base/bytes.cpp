#include "culvert/base/bytes.h"

#include <doctest/doctest.h>

#include "culvert/base/secret.h"

using culvert::Bytes;
using culvert::ByteView;
using culvert::Reader;
using culvert::Secret;
using culvert::Writer;

TEST_CASE("what the Writer writes stands in network order and the Reader reads it back") {
  Bytes out;
  Writer writer(out);
  writer.u8(0x01);
  writer.u16(0x0203);
  writer.u32(0x04050607);
  writer.u64(0x08090a0b0c0d0e0fULL);
  CHECK(out == Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  Reader reader(out);
  CHECK(reader.u8() == 0x01);
  CHECK(reader.u16() == 0x0203);
  CHECK(reader.u32() == 0x04050607u);
  CHECK(reader.u64() == 0x08090a0b0c0d0e0fULL);
  CHECK(reader.empty());
}

TEST_CASE("a read past the end gives nothing and moves nothing") {
  const Bytes bytes{1, 2, 3};
  Reader reader(bytes);
  CHECK_FALSE(reader.u32());
  CHECK_FALSE(reader.take(4));
  CHECK_FALSE(reader.skip(4));
  CHECK(reader.remaining() == 3);
  CHECK(reader.take(3)->size() == 3);
  CHECK(reader.take(0)->empty());
  CHECK_FALSE(reader.u8());
}

TEST_CASE("a length scope counts what was written inside and before it") {
  Bytes out;
  Writer writer(out);
  writer.u16(0xaaaa);
  {
    const auto length = writer.length16(2);
    writer.u32(0);
  }
  CHECK(out == Bytes{0xaa, 0xaa, 0, 8, 0, 0, 0, 0});  // 2 before, 2 of the field, 4 inside
}

TEST_CASE("a secret compares by content, moves, and is empty after a wipe") {
  const Bytes key{1, 2, 3, 4};
  Secret secret = Secret::copy_of(key);
  CHECK(secret.equals(key));
  CHECK_FALSE(secret.equals(ByteView(key).first(3)));
  CHECK_FALSE(secret.equals(Bytes{1, 2, 3, 5}));
  Secret moved = std::move(secret);
  CHECK(secret.empty());  // NOLINT(bugprone-use-after-move): moved-from is specified as empty
  CHECK(moved.clone().equals(key));
  moved.wipe();
  CHECK(moved.empty());
}
