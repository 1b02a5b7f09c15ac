// AES-GCM: every implementation of culvert beside plain OpenSSL EVP and intel-ipsec-mb, in one process and in turns, so
// that all see the same machine. Times are CPU time of the thread, in slices too short to be interrupted often; the
// median of all slices counts. Prints a table and the ratios; --json FILE writes them too.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "aead_contenders.h"
#include "culvert/crypto/aead.h"

namespace {

using namespace culvert;
using namespace culvert::bench;

struct Options {
  int rounds = 41;
  double slice_us = 250;
  std::string json, only;
};

struct Shape {
  std::string name;
  std::vector<std::uint32_t> lens;
};

struct Measured {
  std::string direction, shape;
  std::size_t key_bits = 0, burst = 0;
  std::vector<std::pair<std::string, double>> ns;  // per packet
  double bytes = 0;                                // per packet
  [[nodiscard]] double of(std::string_view name) const {
    for (const auto& [contender, time] : ns) {
      if (contender == name) return time;
    }
    return 0;
  }
  [[nodiscard]] double ipsec_mb() const { return std::min(of("ipsec-mb direct"), of("ipsec-mb burst")); }
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::vector<Shape> shapes() {
  // IMIX: 7 of 64 bytes, 4 of 576, 1 of 1500, in an order without stretches of one size.
  return {{"64", {64}},     {"256", {256}},   {"576", {576}},
          {"1400", {1400}}, {"9000", {9000}}, {"IMIX", {64, 576, 64, 64, 576, 64, 1500, 64, 576, 64, 576, 64}}};
}

// Buffers at odd places, as packets have them: behind headers of 8 to 60 bytes.
Burst make_burst(const Shape& shape, std::size_t num, std::mt19937_64& random) {
  Burst burst;
  burst.packets.resize(num);
  std::vector<std::size_t> places;
  std::size_t total = 64;
  for (std::size_t i = 0; i < num; ++i) {
    burst.packets[i].len = shape.lens[i % shape.lens.size()];
    burst.num_bytes += burst.packets[i].len;
    for (int buffer = 0; buffer < 3; ++buffer) {
      places.push_back(total + 8 + 4 * (random() % 14));
      total += (burst.packets[i].len + 192) / 64 * 64;
    }
  }
  burst.memory.resize(total + 64);
  for (auto& byte : burst.memory) byte = static_cast<std::uint8_t>(random());
  for (std::size_t i = 0; i < num; ++i) {
    Packet& packet = burst.packets[i];
    packet.plain = burst.memory.data() + places[3 * i];
    packet.sealed = burst.memory.data() + places[3 * i + 1];
    packet.out = burst.memory.data() + places[3 * i + 2];
    for (auto& byte : packet.aad) byte = static_cast<std::uint8_t>(random());
  }
  return burst;
}

// What is opened was sealed by OpenSSL's row of the table.
void seal_once(Burst& burst, const Bytes& key, std::size_t key_len) {
  for (std::size_t i = 0; i < burst.packets.size(); ++i) {
    Packet& packet = burst.packets[i];
    std::memcpy(packet.nonce.data(), key.data() + key_len, 4);
    store_be<std::uint64_t>(packet.nonce.data() + 4, i + 1);
  }
  auto contenders = make_contenders({.key_len = key_len, .seal = true}, key, burst);
  for (const Contender& contender : contenders) {
    for (Packet& packet : burst.packets) std::memset(packet.out, 0, packet.len);
    contender.run();
    for (Packet& packet : burst.packets) {
      if (contender.name == contenders.front().name) {
        std::memcpy(packet.sealed, packet.out, packet.len);
        packet.icv = packet.out_icv;
      } else if (std::memcmp(packet.sealed, packet.out, packet.len) != 0 || packet.icv != packet.out_icv) {
        std::fprintf(stderr, "aead_bench: %s and %s do not agree\n", contender.name.c_str(),
                     contenders.front().name.c_str());
        std::exit(1);
      }
    }
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// All contenders in turns.
void measure(Measured& result, const std::vector<Contender>& contenders, const Options& options) {
  const std::size_t num_packets = result.burst;
  std::vector<std::size_t> repeats;
  for (const Contender& contender : contenders) {
    if (contender.run() != num_packets) {
      std::fprintf(stderr, "aead_bench: %s refuses packets\n", contender.name.c_str());
      std::exit(1);
    }
    const double start = cpu_seconds();
    for (int i = 0; i < 10; ++i) contender.run();
    const double each = std::max((cpu_seconds() - start) / 10, 1e-8);
    repeats.push_back(std::max<std::size_t>(1, static_cast<std::size_t>(options.slice_us * 1e-6 / each)));
  }
  std::vector<std::vector<double>> times(contenders.size());
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      contenders[i].run();  // warm caches and predictors again
      const double start = cpu_seconds();
      for (std::size_t n = 0; n < repeats[i]; ++n) contenders[i].run();
      const double took = cpu_seconds() - start;
      times[i].push_back(took * 1e9 / static_cast<double>(repeats[i] * num_packets));
    }
  }
  for (std::size_t i = 0; i < contenders.size(); ++i) result.ns.emplace_back(contenders[i].name, median(times[i]));
}

void print(const Measured& result) {
  std::printf("AES-%zu %-4s %5s x%-3zu", result.key_bits, result.direction.c_str(), result.shape.c_str(), result.burst);
  for (const auto& [name, ns] : result.ns)
    std::printf(" | %s %.1f ns %.1f Gbit/s", name.c_str(), ns, result.bytes * 8 / ns);
  std::printf("\n    to the better of ipsec-mb:");
  for (const std::string_view name : crypto::aead_implementations())
    std::printf(" %s %.2f", std::string(name).c_str(), result.ipsec_mb() / result.of(name));
  std::printf("   to EVP:");
  for (const std::string_view name : crypto::aead_implementations())
    std::printf(" %s %.2f", std::string(name).c_str(), result.of("EVP") / result.of(name));
  std::printf("\n");
  std::fflush(stdout);
}

void write_json(const std::vector<Measured>& results, const Options& options) {
  std::ofstream out(options.json);
  out << "{\"cores\": " << std::thread::hardware_concurrency() << ", \"rounds\": " << options.rounds
      << ", \"results\": [";
  const char* separator = "\n";
  for (const Measured& result : results) {
    out << separator << "  {\"key_bits\": " << result.key_bits << ", \"direction\": \"" << result.direction
        << "\", \"packet\": \"" << result.shape << "\", \"burst\": " << result.burst
        << ", \"bytes_per_packet\": " << result.bytes << ", \"ns_per_packet\": {";
    const char* comma = "";
    for (const auto& [name, ns] : result.ns) {
      out << comma << '"' << name << "\": " << ns;
      comma = ", ";
    }
    out << "}, \"ratio_to_ipsec_mb\": {";
    comma = "";
    for (const std::string_view name : crypto::aead_implementations()) {
      out << comma << '"' << name << "\": " << result.ipsec_mb() / result.of(name);
      comma = ", ";
    }
    out << "}, \"ratio_to_evp\": {";
    comma = "";
    for (const std::string_view name : crypto::aead_implementations()) {
      out << comma << '"' << name << "\": " << result.of("EVP") / result.of(name);
      comma = ", ";
    }
    out << "}}";
    separator = ",\n";
  }
  out << "\n]}\n";
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--rounds" && has_value) {
      options.rounds = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--json" && has_value) {
      options.json = argv[++i];
    } else if (argument == "--only" && has_value) {
      options.only = argv[++i];
    } else {
      std::printf(
          "aead_bench [--rounds N] [--json FILE] [--only TEXT]\n"
          "  --only: cases whose name, such as \"256 seal 1400 x64\", contains the text\n");
      std::exit(argument == "--help" ? 0 : 2);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::mt19937_64 random(1);
  std::vector<Measured> results;
  for (const std::size_t key_len : {32, 16}) {
    Bytes key(key_len + 4);
    for (auto& byte : key) byte = static_cast<std::uint8_t>(random());
    for (const std::size_t num : {64, 16}) {
      for (const Shape& shape : shapes()) {
        Burst burst = make_burst(shape, num, random);
        bool sealed = false;
        for (const bool seal : {true, false}) {
          Measured result{.direction = seal ? "seal" : "open",
                          .shape = shape.name,
                          .key_bits = key_len * 8,
                          .burst = num,
                          .ns = {},
                          .bytes = static_cast<double>(burst.num_bytes) / static_cast<double>(num)};
          const std::string name = std::to_string(result.key_bits) + " " + result.direction + " " + result.shape +
                                   " x" + std::to_string(num);
          if (name.find(options.only) == std::string::npos) continue;
          if (!sealed) seal_once(burst, key, key_len);
          sealed = true;
          measure(result, make_contenders({.key_len = key_len, .seal = seal}, key, burst), options);
          print(result);
          results.push_back(std::move(result));
        }
      }
    }
  }
  if (!options.json.empty()) write_json(results, options);
}
