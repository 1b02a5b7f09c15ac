// The stages of the data path, each beside a plain way to do the same: in one process, in turns of some ten
// microseconds, so that both see the same machine. For every case the median time of a packet and the median of the
// ratios of neighbouring turns are printed; above 1 culvert's way is faster. Options are Google Benchmark's:
// --benchmark_filter=…,
// --benchmark_out=FILE (JSON).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "culvert/crypto/aead.h"
#include "data_path_bench.h"

namespace culvert::bench {
namespace {

constexpr int num_turns = 301, num_warm_up = 20;

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Nanoseconds. Time that passes while the process is not running is in there: the median leaves such turns out.
double time(const Way& way) {
  way.prepare();
  const auto begin = std::chrono::steady_clock::now();
  way.run();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
}

void run_case(benchmark::State& state, const std::string& plain, const std::function<Comparison()>& make) {
  const Comparison comparison = make();
  const auto packets = static_cast<double>(comparison.num_packets);
  std::vector<double> ours, alternative, ratios;
  for (int i = 0; i < num_warm_up; ++i) time(comparison.ours), time(comparison.plain);
  bool ours_first = true;
  for ([[maybe_unused]] auto turn : state) {
    double our_time = ours_first ? time(comparison.ours) : 0;
    const double plain_time = time(comparison.plain);
    if (!ours_first) our_time = time(comparison.ours);
    ours_first = !ours_first;
    ours.push_back(our_time / packets);
    alternative.push_back(plain_time / packets);
    ratios.push_back(plain_time / our_time);
    state.SetIterationTime(our_time * 1e-9);
  }
  state.counters["ns"] = median(ours);
  state.counters["plain_ns"] = median(alternative);
  state.counters["ratio"] = median(ratios);
  state.SetLabel(plain);
}

/// A line for each case.
class Table : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    std::printf("%u cores, AEAD in use: %.*s. ns are per packet; ratio = plain / culvert\n",
                std::thread::hardware_concurrency(), static_cast<int>(crypto::aead_implementation().size()),
                crypto::aead_implementation().data());
    std::printf("%-36s %9s %9s %7s  %s\n", "case", "culvert", "plain", "ratio", "the plain way");
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;  // of --benchmark_repetitions the lines themselves
      const std::string& name = run.run_name.function_name;
      std::printf("%-36s %9.1f %9.1f %7.2f  %s\n", name.c_str(), run.counters.at("ns").value,
                  run.counters.at("plain_ns").value, run.counters.at("ratio").value, run.report_label.c_str());
    }
    std::fflush(stdout);
  }
};

}  // namespace

void add_case(const std::string& name, const std::string& plain, std::function<Comparison()> make) {
  benchmark::RegisterBenchmark(
      name.c_str(), [plain, make = std::move(make)](benchmark::State& state) { run_case(state, plain, make); })
      ->Iterations(num_turns)
      ->UseManualTime();
}

void give_up(const std::string& why) {
  std::fprintf(stderr, "data_path_bench: %s\n", why.c_str());
  std::exit(1);
}

}  // namespace culvert::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  culvert::bench::add_esp_cases();
  culvert::bench::add_policy_cases();
  culvert::bench::add_replay_cases();
  culvert::bench::add_offload_cases();
  culvert::bench::Table table;
  if (benchmark::RunSpecifiedBenchmarks(&table) == 0) return 1;
}
