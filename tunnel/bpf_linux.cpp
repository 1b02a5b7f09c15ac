#include "bpf_linux.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace culvert::tunnel::bpf {
namespace {

int call_bpf(int command, bpf_attr& attributes) noexcept {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

}  // namespace

FileDescriptor make_map(std::uint32_t value_len) noexcept {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof(std::uint32_t);
  attributes.value_size = value_len;
  attributes.max_entries = 1;
  attributes.map_flags = BPF_F_MMAPABLE;
  return FileDescriptor(call_bpf(BPF_MAP_CREATE, attributes));
}

FileDescriptor load(std::span<Instruction> program, std::size_t map_reference, int map, const char* name) noexcept {
  static constexpr char license[] = "Apache-2.0";
  program[map_reference].imm = map;
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  attributes.license = reinterpret_cast<std::uintptr_t>(license);
  std::strncpy(attributes.prog_name, name, sizeof attributes.prog_name - 1);
  return FileDescriptor(call_bpf(BPF_PROG_LOAD, attributes));
}

}  // namespace culvert::tunnel::bpf
