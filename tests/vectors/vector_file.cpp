#include "vectors/vector_file.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "vectors/hex.h"

namespace culvert::test {
namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(blanks) - first + 1));
}

std::string small_letters(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::pair<std::string, std::string> split(std::string_view line) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) return {trimmed(line), {}};
  return {trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1))};
}

}  // namespace

const std::string& VectorCase::text(const std::string& name) const {
  const auto found = fields.find(name);
  if (found == fields.end()) throw std::runtime_error("case at line " + std::to_string(line) + " has no " + name);
  return found->second;
}

Bytes VectorCase::bytes(const std::string& name) const {
  return hex(text(name));
}

std::filesystem::path cryptography_vectors() {
  namespace fs = std::filesystem;
  std::vector<fs::path> candidates;
  if (const char* chosen = std::getenv("CULVERT_CRYPTOGRAPHY_VECTORS")) candidates.emplace_back(chosen);
  candidates.emplace_back("/usr/lib/python3/dist-packages/cryptography_vectors");  // where Debian puts it
  for (const fs::path& candidate : candidates) {
    if (fs::is_directory(candidate / "ciphers" / "AES" / "GCM")) return candidate;
  }
  throw std::runtime_error(
      "the NIST vectors are missing: install the Debian package python3-cryptography-vectors, or name their folder in "
      "CULVERT_CRYPTOGRAPHY_VECTORS");
}

std::vector<VectorCase> read_vectors(std::string_view file, std::string_view first_field) {
  const std::filesystem::path path = cryptography_vectors() / file;
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  std::vector<VectorCase> cases;
  std::map<std::string, std::string> section;
  bool section_open = false;
  std::string raw;
  for (int number = 1; std::getline(in, raw); ++number) {
    const std::string line = trimmed(raw);
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[') {
      if (!section_open) section.clear();  // the lines of one section heading stand together
      section_open = true;
      section.insert(split(trimmed(std::string_view(line).substr(1, line.size() - 2))));
      continue;
    }
    section_open = false;
    auto field = split(line);
    field.first = small_letters(std::move(field.first));
    if (field.first == first_field) cases.push_back({.section = section, .fields = {}, .line = number});
    if (cases.empty()) throw std::runtime_error(path.string() + " does not start with " + std::string(first_field));
    cases.back().fields.insert(std::move(field));
  }
  return cases;
}

}  // namespace culvert::test
