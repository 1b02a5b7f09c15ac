#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace culvert::bench {

/// One way to do a piece of work; `prepare` is not timed.
struct Way {
  std::function<void()> prepare;
  std::function<void()> run;
};

/// The work of num_packets packets, done by the data path's own code and by a plain alternative.
struct Comparison {
  std::size_t num_packets = 0;
  Way ours, plain;
};

/// Registers a case with Google Benchmark: both ways in turns, in one process. `plain` says in words what the
/// alternative is. `make` is called when the case runs; it ends the program (give_up) when the two do not agree.
void add_case(const std::string& name, const std::string& plain, std::function<Comparison()> make);

[[noreturn]] void give_up(const std::string& why);

// One file each.
void add_esp_cases();
void add_policy_cases();
void add_replay_cases();
void add_offload_cases();

/// Keeps the compiler from leaving out what nobody looks at.
template <class T>
inline void keep(const T& value) noexcept {
  asm volatile("" : : "r,m"(value) : "memory");
}

}  // namespace culvert::bench
