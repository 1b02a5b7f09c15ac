#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"

namespace culvert::test {

/// One case of a vector file: "NAME = value" lines, below the "[NAME = value]" lines of its section.
struct VectorCase {
  std::map<std::string, std::string> section;
  std::map<std::string, std::string> fields;  ///< by name in small letters; a line without '=' has an empty value
  int line = 0;                               ///< where the case starts

  [[nodiscard]] bool has(const std::string& name) const { return fields.contains(name); }
  /// Throws when the field is missing.
  [[nodiscard]] const std::string& text(const std::string& name) const;
  [[nodiscard]] Bytes bytes(const std::string& name) const;
};

/// Where Debian's python3-cryptography-vectors puts its files, or $CULVERT_CRYPTOGRAPHY_VECTORS. Throws with what to
/// install when the folder is not there: these tests are never skipped.
[[nodiscard]] std::filesystem::path cryptography_vectors();

/// Cases of a file below that folder; each starts at its line `first_field` = …, in small letters here. Throws when it
/// can't be read.
[[nodiscard]] std::vector<VectorCase> read_vectors(std::string_view file, std::string_view first_field);

}  // namespace culvert::test
