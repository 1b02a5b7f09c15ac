#include "steering_linux.h"

#include <linux/filter.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bpf_linux.h"
#include "culvert/wire/protocol.h"
#include "file_descriptor.h"

namespace culvert::tunnel {
namespace {

using namespace bpf;

constexpr std::int16_t home_offset = 0, left_out_offset = 4, num_others_offset = 8;

// r7: the hash so far; r8: where the ports are, 0: there are none; r9: what to choose.
constexpr Instruction by_flow[] = {
    set(r6, r1),
    load_address_of_value(r9),
    second_half(),
    read(BPF_W, r0, r9, home_offset),
    jump_if(BPF_JEQ, r0, 0, 2),
    with_number(BPF_SUB, r0, 1),  // at home
    finish(),
    set_number(r8, 0),
    load(BPF_B, 0),
    with_number(BPF_RSH, r0, 4),
    jump_if(BPF_JEQ, r0, 6, 14),
    // IPv4, RFC 791 §3.1
    load(BPF_W, 12),
    set(r7, r0),
    load(BPF_W, 16),
    with(BPF_XOR, r7, r0),
    load(BPF_H, 6),
    jump_if(BPF_JSET, r0, 0x3FFF, 23),  // more fragments, or an offset: mixed without ports
    load(BPF_B, 0),
    with_number(BPF_AND, r0, 15),
    with_number(BPF_LSH, r0, 2),
    set(r8, r0),
    load(BPF_B, 9),
    jump_if(BPF_JEQ, r0, wire::proto_tcp, 14),
    jump_if(BPF_JEQ, r0, wire::proto_udp, 13),
    jump(15),
    // IPv6, RFC 8200 §3: the last half of each address; an extension header hides the ports
    load(BPF_W, 16),
    set(r7, r0),
    load(BPF_W, 20),
    with(BPF_XOR, r7, r0),
    load(BPF_W, 32),
    with(BPF_XOR, r7, r0),
    load(BPF_W, 36),
    with(BPF_XOR, r7, r0),
    set_number(r8, 40),
    load(BPF_B, 6),
    jump_if(BPF_JEQ, r0, wire::proto_tcp, 1),
    jump_if(BPF_JNE, r0, wire::proto_udp, 3),
    // ports
    load_behind(r8, BPF_W, 0),
    with_number(BPF_MUL, r0, 0x2C1B3C6D),
    with(BPF_XOR, r7, r0),
    // mixed: a shift brings down what differs above, a multiplication carries it back up, and another shift down to
    // where the remainder is taken
    set(r0, r7),
    with_number(BPF_RSH, r0, 16),
    with(BPF_XOR, r7, r0),
    with_number(BPF_MUL, r7, 0x297A2D39),
    set(r0, r7),
    with_number(BPF_RSH, r0, 15),
    with(BPF_XOR, r0, r7),
    // over all queues (the kernel takes the remainder), or over all but one
    read(BPF_W, r3, r9, num_others_offset),
    jump_if(BPF_JEQ, r3, 0, 4),
    with(BPF_MOD, r0, r3),
    read(BPF_W, r3, r9, left_out_offset),
    make(BPF_JMP | BPF_JLT | BPF_X, r0, r3, 1, 0),
    with_number(BPF_ADD, r0, 1),
    finish(),
};

constexpr std::size_t map_reference = 1;  // in by_flow

std::size_t page_len() noexcept {
  return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

FlowSteering::FlowSteering(int fd, unsigned num_queues) noexcept : num_queues_(num_queues) {
  static_assert(offsetof(Choice, home) == home_offset && offsetof(Choice, left_out) == left_out_offset &&
                offsetof(Choice, num_others) == num_others_offset);
  const FileDescriptor map = bpf::make_map(sizeof(Choice));
  if (!map) return;
  auto instructions = std::to_array(by_flow);
  program_ = bpf::load(instructions, map_reference, map.get(), "culvert_flow");  // which holds the map
  if (!program_) return;
  void* memory = ::mmap(nullptr, page_len(), PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return;
  if (!attach(fd)) {
    ::munmap(memory, page_len());
    return;
  }
  choice_ = static_cast<Choice*>(memory);
}

bool FlowSteering::attach(int fd) const noexcept {
  const int number = program_.get();
  return number >= 0 && ::ioctl(fd, TUNSETSTEERINGEBPF, &number) == 0;
}

FlowSteering::~FlowSteering() {
  if (choice_ != nullptr) ::munmap(choice_, page_len());
}

std::optional<unsigned> FlowSteering::home() const noexcept {
  const std::uint32_t home = choice_ == nullptr ? 0 : std::atomic_ref(choice_->home).load(std::memory_order_relaxed);
  return home == 0 ? std::nullopt : std::optional<unsigned>(home - 1);
}

void FlowSteering::send_home(unsigned queue) noexcept {
  if (choice_ == nullptr) return;
  std::atomic_ref(choice_->num_others).store(0, std::memory_order_relaxed);
  std::atomic_ref(choice_->home).store(queue + 1, std::memory_order_seq_cst);
}

void FlowSteering::lend() noexcept {
  const auto left_out = home();
  if (!left_out) return;
  leave_out(*left_out);
  std::atomic_ref(choice_->home).store((*left_out + 1) % num_queues_ + 1, std::memory_order_seq_cst);
}

void FlowSteering::spread() noexcept {
  const auto left_out = home();
  if (!left_out) return;
  const bool lent = std::atomic_ref(choice_->num_others).load(std::memory_order_relaxed) != 0;
  if (!lent) leave_out(*left_out);
  std::atomic_ref(choice_->home).store(0, std::memory_order_seq_cst);
}

void FlowSteering::leave_out(std::uint32_t queue) noexcept {
  std::atomic_ref(choice_->left_out).store(queue, std::memory_order_relaxed);
  std::atomic_ref(choice_->num_others).store(num_queues_ - 1, std::memory_order_relaxed);
}

namespace {

// Classic BPF; offsets count from the UDP payload (socket(7)). A datagram that is too short gives 0.
bool attach(int fd, std::span<sock_filter> program) noexcept {
  const sock_fprog attached{static_cast<unsigned short>(program.size()), program.data()};
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &attached, sizeof attached) == 0;
}

// RFC 7296 §3.1: where the responder's SPI and the flags stand in the IKE header.
constexpr std::uint32_t spi_r_offset = 8, flags_offset = 19, response_flag = 0x20;

}  // namespace

bool steer_by_spi(int fd, unsigned count) noexcept {
  std::array<sock_filter, 3> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
      {BPF_ALU | BPF_MOD | BPF_K, 0, 0, count},
      {BPF_RET | BPF_A, 0, 0, 0},
  }};
  return attach(fd, program);
}

bool steer_nat_port(int fd, unsigned num_workers) noexcept {
  constexpr std::uint32_t marker = 4;  // RFC 3948 §2.2: four zero bytes where ESP has its SPI
  std::array<sock_filter, 12> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
      {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 0},
      {BPF_ALU | BPF_MOD | BPF_K, 0, 0, num_workers},
      {BPF_RET | BPF_A, 0, 0, 0},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, marker + spi_r_offset},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, marker + spi_r_offset + 4},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0},
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, marker + flags_offset},
      {BPF_JMP | BPF_JSET | BPF_K, 0, 1, response_flag},
      {BPF_RET | BPF_K, 0, 0, num_workers},
      {BPF_RET | BPF_K, 0, 0, num_workers + 1},
  }};
  return attach(fd, program);
}

bool steer_ike_port(int fd) noexcept {
  std::array<sock_filter, 8> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, spi_r_offset},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, spi_r_offset + 4},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0},
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, flags_offset},
      {BPF_JMP | BPF_JSET | BPF_K, 0, 1, response_flag},
      {BPF_RET | BPF_K, 0, 0, 0},
      {BPF_RET | BPF_K, 0, 0, 1},
  }};
  return attach(fd, program);
}

}  // namespace culvert::tunnel
