#include "stranger_filter_linux.h"

#include <linux/filter.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <utility>
#include <vector>

#include "bpf_linux.h"
#include "culvert/base/bytes.h"

namespace culvert::tunnel {

/// What the program reads and writes.
struct FloodTable {
  static constexpr unsigned known_bits = 20, mark_bits = 18;  // of a hash; ours and the program's

  std::uint32_t on;
  std::uint32_t unused;
  std::uint64_t seed;  ///< unknown to those who send
  std::uint64_t num_kept_back;
  std::uint32_t known[(1U << known_bits) / 32];  ///< a bit for the hash of each address that is expected
  std::uint32_t marks[1U << mark_bits];          ///< what was seen last of those with the same hash
};

namespace {

using namespace std::chrono_literals;
using namespace bpf;

constexpr Duration period = 100ms;   // over which requests are counted
constexpr unsigned busy_periods = 3;  // in a row: a site that returns is over sooner
constexpr Duration calm_time = 2s;   // without a busy period: the flood has ended
constexpr unsigned hash_shift = 29;  // of mix(), which the program and we have to do alike
constexpr std::int32_t hash_factor = 0x2C1B3C6D;
constexpr unsigned known_shift = 64 - FloodTable::known_bits;  // the upper bits name the address's place

constexpr std::uint64_t mix(std::uint64_t hash, std::uint32_t word) {
  hash = (hash ^ word) * static_cast<std::uint64_t>(hash_factor);
  return hash ^ (hash >> hash_shift);
}

// RFC 7296 §3.1, in the IKE header.
constexpr std::int32_t next_payload_offset = 16, exchange_offset = 18, header_len = 28;
constexpr std::int32_t ike_sa_init = 34, notify_payload = 41;  // a COOKIE comes first (§2.6)
constexpr std::int32_t udp_header_len = 8;                     // a socket's filter begins there
constexpr int get_random = BPF_FUNC_get_prandom_u32;

/// r7: the hash so far; r8: a place in the table; r9: the table.
class Assembler {
 public:
  explicit Assembler(std::int32_t ike) : ike_(ike) {}

  std::vector<Instruction> program() && {
    add({set(r6, r1), load_address_of_value(r9), second_half(), read(BPF_W, r0, r9, offsetof(FloodTable, on))});
    pass_if(BPF_JEQ, r0, 0);
    add({read(BPF_W, r0, r6, offsetof(__sk_buff, len))});
    pass_if(BPF_JLT, r0, ike_ + header_len);
    add({load(BPF_B, ike_ + exchange_offset)});
    pass_if(BPF_JNE, r0, ike_sa_init);
    add({load(BPF_B, ike_ + next_payload_offset)});
    pass_if(BPF_JEQ, r0, notify_payload);
    hash_address();
    pass_if_known();
    hash_word(ike_);
    hash_word(ike_ + 4);
    pass_if_seen();
    add({make(BPF_JMP | BPF_CALL, 0, 0, 0, get_random), with_number(BPF_AND, r0, StrangerFilter::one_of - 1)});
    pass_if(BPF_JEQ, r0, 0);
    add({set_number(r1, 1), make(BPF_STX | BPF_ATOMIC | BPF_DW, r9, r1, offsetof(FloodTable, num_kept_back), BPF_ADD),
         set_number(r0, 0), finish()});
    for (const std::size_t from : to_pass_) program_[from].off = static_cast<std::int16_t>(program_.size() - from - 1);
    add({with_number(BPF_MOV, r0, -1), finish()});  // all of it
    return std::move(program_);
  }

  static constexpr std::size_t map_reference = 1;

 private:
  void add(std::initializer_list<Instruction> instructions) {
    program_.insert(program_.end(), instructions.begin(), instructions.end());
  }
  void pass_if(int condition, std::uint8_t what, std::int32_t value) {
    to_pass_.push_back(program_.size());
    add({jump_if(condition, what, value, 0)});
  }
  void hash_word(std::int32_t offset) {  // mix()
    add({load(BPF_W, offset), with64(BPF_XOR, r7, r0), with_number64(BPF_MUL, r7, hash_factor), set(r0, r7),
         with_number64(BPF_RSH, r0, hash_shift), with64(BPF_XOR, r7, r0)});
  }
  void hash_address() {
    constexpr std::int32_t v4_source = SKF_NET_OFF + 12, v6_source = SKF_NET_OFF + 8;  // RFC 791 §3.1, RFC 8200 §3
    add({read(BPF_DW, r7, r9, offsetof(FloodTable, seed)), load(BPF_B, SKF_NET_OFF), with_number(BPF_RSH, r0, 4)});
    const std::size_t to_v6 = program_.size();
    add({jump_if(BPF_JEQ, r0, 6, 0)});
    hash_word(v4_source);
    const std::size_t to_end = program_.size();
    add({jump(0)});
    program_[to_v6].off = static_cast<std::int16_t>(program_.size() - to_v6 - 1);
    for (std::int32_t i = 0; i < 4; ++i) hash_word(v6_source + 4 * i);
    program_[to_end].off = static_cast<std::int16_t>(program_.size() - to_end - 1);
  }
  void pass_if_known() {
    add({set(r8, r7), with_number64(BPF_RSH, r8, known_shift), set(r3, r8), with_number64(BPF_AND, r3, 31),
         with_number64(BPF_RSH, r8, 5), with_number64(BPF_LSH, r8, 2), with64(BPF_ADD, r8, r9),
         with_number64(BPF_ADD, r8, offsetof(FloodTable, known)), read(BPF_W, r0, r8, 0), with(BPF_RSH, r0, r3)});
    pass_if(BPF_JSET, r0, 1);
  }
  void pass_if_seen() {
    add({set(r8, r7), with_number64(BPF_AND, r8, (1 << FloodTable::mark_bits) - 1), with_number64(BPF_LSH, r8, 2),
         with64(BPF_ADD, r8, r9), with_number64(BPF_ADD, r8, offsetof(FloodTable, marks)), set(r3, r7),
         with_number64(BPF_RSH, r3, 32), with_number(BPF_OR, r3, 1), read(BPF_W, r0, r8, 0)});
    to_pass_.push_back(program_.size());
    add({make(BPF_JMP | BPF_JEQ | BPF_X, r0, r3, 0, 0), write(BPF_W, r8, 0, r3)});
  }

  std::int32_t ike_;  ///< where its header begins
  std::vector<Instruction> program_;
  std::vector<std::size_t> to_pass_;  ///< jumps
};

}  // namespace

StrangerFilter::StrangerFilter() noexcept : map_(make_map(sizeof(FloodTable))) {
  static_assert(std::has_single_bit(one_of));
  if (!map_) return;
  void* memory = ::mmap(nullptr, sizeof(FloodTable), PROT_READ | PROT_WRITE, MAP_SHARED, map_.get(), 0);
  if (memory == MAP_FAILED) return;
  table_ = static_cast<FloodTable*>(memory);
  if (::getrandom(&table_->seed, sizeof table_->seed, 0) != sizeof table_->seed) table_->seed = 0;
}

StrangerFilter::~StrangerFilter() {
  if (table_ != nullptr) ::munmap(table_, sizeof(FloodTable));
}

bool StrangerFilter::attach(int fd, PortKind kind) noexcept {
  if (table_ == nullptr) return false;
  const auto marker_len = static_cast<std::int32_t>(kind == PortKind::nat ? non_esp_marker_len : 0);
  auto program = Assembler(udp_header_len + marker_len).program();
  const FileDescriptor loaded = load(program, Assembler::map_reference, map_.get(), "culvert_flood");
  const int number = loaded.get();  // the socket holds the program, and that the map
  return loaded && ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &number, sizeof number) == 0;
}

std::uint64_t StrangerFilter::hash(const IpAddress& address) const noexcept {
  std::uint64_t hash = table_->seed;
  for (std::size_t i = 0; i < address.size(); i += 4) hash = mix(hash, load_be<std::uint32_t>(&address.bytes()[i]));
  return hash;
}

void StrangerFilter::expect(std::span<const IpAddress> addresses) noexcept {
  if (table_ == nullptr) return;
  std::vector<std::uint32_t> known(std::size(table_->known));
  for (const IpAddress& address : addresses) {
    const std::uint64_t place = hash(address) >> known_shift;
    known[place / 32] |= 1U << (place % 32);
  }
  for (std::size_t i = 0; i < known.size(); ++i)
    std::atomic_ref(table_->known[i]).store(known[i], std::memory_order_relaxed);
}

bool StrangerFilter::is_on() const noexcept {
  return table_ != nullptr && std::atomic_ref(table_->on).load(std::memory_order_relaxed) != 0;
}

void StrangerFilter::turn(bool on) noexcept {
  if (table_ != nullptr) std::atomic_ref(table_->on).store(on ? 1 : 0, std::memory_order_relaxed);
}

std::uint64_t StrangerFilter::num_kept_back() const noexcept {
  return table_ == nullptr ? 0 : std::atomic_ref(table_->num_kept_back).load(std::memory_order_relaxed);
}

bool StrangerFilter::brings_cookie(ByteView ike) noexcept {
  return ike.size() >= header_len && ike[next_payload_offset] == notify_payload;
}

std::uint64_t StrangerFilter::observe(TimePoint now, std::size_t num_received) noexcept {
  const std::uint64_t total = num_kept_back();
  const std::uint64_t kept_back = total - std::exchange(num_reported_, total);
  num_seen_ += num_received + kept_back;
  const Duration took = now - period_began_;
  if (took < period) return kept_back;
  period_began_ = now;
  const std::uint64_t a_second = std::exchange(num_seen_, 0) * 1000 / static_cast<std::uint64_t>(took / 1ms);
  is_busy_ = a_second >= on_rate / 2;
  num_busy_ = a_second >= on_rate ? num_busy_ + 1 : 0;
  if (num_busy_ != 0 || (is_on() && is_busy_)) last_busy_ = now;
  turn(is_on() ? now - last_busy_ < calm_time : num_busy_ >= busy_periods);
  return kept_back;
}

}  // namespace culvert::tunnel
