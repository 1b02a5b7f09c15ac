// The x509 folder of python3-cryptography-vectors, file by file, against what python-cryptography's own parser (Rust)
// reads of it.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "culvert/crypto/trust.h"
#include "hex.h"
#include "vector_file.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

struct File {
  std::string name;
  std::string kind;
  std::string verdict;
  std::string serial;
  std::string times;
  std::string ca;
  std::string names;
  std::string ours;  // where it differs
  std::string why;
};

std::string trimmed(std::string text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<File> read_table() {
  std::ifstream file(CULVERT_SOURCE_DIR "/tests/vectors/data/x509_folder.txt");
  std::vector<File> files;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::array<std::string, 9> f;
    std::istringstream rest(line);
    for (std::string& field : f) {
      std::getline(rest, field, '|');
      field = trimmed(field);
    }
    files.push_back({f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]});
  }
  return files;
}

Bytes content_of(const std::string& name) {
  std::ifstream file(cryptography_vectors() / "x509" / name, std::ios::binary);
  REQUIRE_MESSAGE(file, name);
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::string seconds(WallTime time) {
  return std::to_string(time.time_since_epoch().count());
}

std::string without_zeros(const std::string& hex_digits) {
  const auto first = hex_digits.find_first_not_of('0');
  return first == std::string::npos ? "0" : hex_digits.substr(first);
}

std::string names_of(const Certificate& certificate) {
  constexpr std::array<std::string_view, 4> types{"dns:", "email:", "ip:", "uri:"};
  std::string text;
  for (const AlternativeName& name : certificate.alternative_names()) {
    if (!text.empty()) text += ' ';
    text += std::string(types[static_cast<std::size_t>(name.type)]) + name.text;
  }
  return text;
}

/// Empty, or what differs from the table.
std::string difference(const File& file, const Certificate& certificate) {
  if (file.verdict == "refused") return {};  // then the table has no more of it
  const std::string serial = without_zeros(to_hex(certificate.serial()));
  const std::string wanted = file.serial.starts_with('-') ? file.serial.substr(1) : file.serial;
  if (serial != wanted) return "serial " + serial;
  const std::string times = seconds(certificate.not_before()) + " " + seconds(certificate.not_after());
  if (times != file.times) return "validity " + times;
  if (certificate.is_ca() != (file.ca == "ca")) return "is it a CA";
  if (file.names != "unreadable" && names_of(certificate) != file.names)
    return trimmed("names " + names_of(certificate));
  return {};
}

std::string difference(const File& file, const Crl& crl) {
  if (std::to_string(crl.num_revoked()) != file.serial) return "entries " + std::to_string(crl.num_revoked());
  if (seconds(crl.this_update()) != file.times) return "thisUpdate " + seconds(crl.this_update());
  return {};
}

/// "loads", "refused", or what differs; `remark` says why it was refused.
std::string read(const File& file, std::string& remark) {
  const Bytes content = content_of(file.name);
  if (file.kind == "certificate") {
    const auto certificates = Certificate::from_file_content(content);
    if (!certificates) remark = certificates.error().detail;
    if (!certificates) return "refused";
    const std::string differs = difference(file, certificates->front());
    return differs.empty() ? "loads" : differs;
  }
  if (file.kind == "crl") {
    const auto crl = Crl::from_file_content(content);
    if (!crl) remark = crl.error().detail;
    if (!crl) return "refused";
    const std::string differs = difference(file, *crl);
    return differs.empty() ? "loads" : differs;
  }
  const auto answer = OcspResponse::from_der(content);
  if (!answer) remark = answer.error().detail;
  return answer ? "loads" : "refused";
}

}  // namespace

TEST_CASE("every certificate, CRL and OCSP response of the x509 folder is read as python-cryptography reads it") {
  int num_same = 0;
  const std::vector<File> files = read_table();
  CHECK(files.size() == 185);
  for (const File& file : files) {
    if (file.kind == "request" || file.kind == "ocsp-request") {
      std::printf("%-50s %-12s nothing here reads requests\n", file.name.c_str(), file.kind.c_str());
      continue;
    }
    std::string remark;
    const std::string actual = read(file, remark);
    const std::string wanted = file.ours.empty() ? file.verdict : file.ours;
    std::printf("%-50s %-12s expected %-8s culvert %s%s%s%s\n", file.name.c_str(), file.kind.c_str(),
                file.verdict.c_str(), actual.c_str(), remark.empty() ? "" : ": ", remark.c_str(),
                actual != wanted    ? " MISMATCH"
                : file.ours.empty() ? ""
                                    : (" (" + file.why + ")").c_str());
    CHECK_MESSAGE(actual == wanted, file.name);
    CHECK_MESSAGE((file.ours.empty() || !file.why.empty()), file.name);
    num_same += actual == file.verdict ? 1 : 0;
  }
  std::printf("x509 folder: %zu files, %d read alike\n", files.size(), num_same);
}
