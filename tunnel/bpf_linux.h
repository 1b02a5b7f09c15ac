#pragma once
#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "file_descriptor.h"

/// eBPF (linux/Documentation/bpf/standardization/instruction-set.rst), as much of it as is needed. The loads from the
/// packet put their value, in host order, into r0, want the context in r6, leave nothing in r1 to r5, and end the
/// program with 0 when the packet is too short.
namespace culvert::tunnel::bpf {

using Instruction = bpf_insn;
enum : std::uint8_t {
  r0 = BPF_REG_0,
  r1 = BPF_REG_1,
  r3 = BPF_REG_3,
  r6 = BPF_REG_6,
  r7 = BPF_REG_7,
  r8 = BPF_REG_8,
  r9 = BPF_REG_9,
};

constexpr Instruction make(int code, std::uint8_t to, std::uint8_t from, std::int16_t offset, std::int32_t value) {
  return {static_cast<std::uint8_t>(code), to, from, offset, value};
}
constexpr Instruction load(int size, std::int32_t offset) {
  return make(BPF_LD | BPF_ABS | size, 0, 0, 0, offset);
}
constexpr Instruction load_behind(std::uint8_t index, int size, std::int32_t offset) {
  return make(BPF_LD | BPF_IND | size, 0, index, 0, offset);
}
constexpr Instruction read(int size, std::uint8_t to, std::uint8_t address, std::int16_t offset) {
  return make(BPF_LDX | BPF_MEM | size, to, address, offset, 0);
}
constexpr Instruction write(int size, std::uint8_t address, std::int16_t offset, std::uint8_t from) {
  return make(BPF_STX | BPF_MEM | size, address, from, offset, 0);
}
constexpr Instruction set(std::uint8_t to, std::uint8_t from) {
  return make(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}
constexpr Instruction set_number(std::uint8_t to, std::int32_t value) {
  return make(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}
constexpr Instruction with(int operation, std::uint8_t to, std::uint8_t from) {  // 32 bits; the upper half becomes 0
  return make(BPF_ALU | operation | BPF_X, to, from, 0, 0);
}
constexpr Instruction with_number(int operation, std::uint8_t to, std::int32_t value) {
  return make(BPF_ALU | operation | BPF_K, to, 0, 0, value);
}
constexpr Instruction with64(int operation, std::uint8_t to, std::uint8_t from) {
  return make(BPF_ALU64 | operation | BPF_X, to, from, 0, 0);
}
constexpr Instruction with_number64(int operation, std::uint8_t to, std::int32_t value) {
  return make(BPF_ALU64 | operation | BPF_K, to, 0, 0, value);
}
constexpr Instruction jump_if(int condition, std::uint8_t what, std::int32_t value, std::int16_t skip) {
  return make(BPF_JMP | condition | BPF_K, what, 0, skip, value);
}
constexpr Instruction jump(std::int16_t skip) {
  return make(BPF_JMP | BPF_JA, 0, 0, skip, 0);
}
/// Of the only value of a map, whose descriptor is filled in when the program is loaded. Takes two places.
constexpr Instruction load_address_of_value(std::uint8_t to) {
  return make(BPF_LD | BPF_IMM | BPF_DW, to, BPF_PSEUDO_MAP_VALUE, 0, 0);
}
constexpr Instruction second_half() {
  return make(0, 0, 0, 0, 0);
}
constexpr Instruction finish() {
  return make(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/// One value that we see as memory (mmap). None: the kernel refuses.
[[nodiscard]] FileDescriptor make_map(std::uint32_t value_len) noexcept;
/// A socket filter; `map` goes into the instruction at `map_reference`. None: the kernel refuses.
[[nodiscard]] FileDescriptor load(std::span<Instruction> program, std::size_t map_reference, int map,
                                  const char* name) noexcept;

}  // namespace culvert::tunnel::bpf
