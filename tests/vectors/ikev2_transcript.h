#pragma once
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "vectors/hex.h"

namespace culvert::test {

/// A file of tests/vectors/data: lines "name = hex", comments behind '#'. What it holds and where it comes from stands
/// on its first lines.
class Transcript {
 public:
  explicit Transcript(std::string_view name)
      : path_(std::filesystem::path(CULVERT_SOURCE_DIR) / "tests/vectors/data" / name) {
    std::ifstream file(path_);
    if (!file) throw std::runtime_error("cannot read " + path_.string());
    for (std::string line; std::getline(file, line);) {
      const std::size_t equals = line.find(" = ");
      if (line.empty() || line[0] == '#' || equals == std::string::npos) continue;
      fields_[line.substr(0, line.find(' '))] = hex(line.substr(equals + 3));
    }
  }

  [[nodiscard]] bool has(const std::string& name) const { return fields_.contains(name); }
  [[nodiscard]] const Bytes& operator[](const std::string& name) const {
    const auto found = fields_.find(name);
    if (found == fields_.end()) throw std::runtime_error(path_.string() + " has no " + name);
    return found->second;
  }
  [[nodiscard]] const Bytes& message(int number) const { return (*this)["message_" + std::to_string(number)]; }
  /// "" when there is none: SK_a of an AEAD, g^ir without PFS.
  [[nodiscard]] Bytes or_empty(const std::string& name) const { return has(name) ? (*this)[name] : Bytes{}; }

 private:
  std::filesystem::path path_;
  std::map<std::string, Bytes> fields_;
};

}  // namespace culvert::test
