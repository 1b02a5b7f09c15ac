// NIST PKITS from the x509 folder of python3-cryptography-vectors: each test's certificates and CRLs stand in its
// signed S/MIME message, which names the end entity. data/pkits.txt has every test and its verdict.
#include <doctest/doctest.h>
#include <openssl/cms.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

#include "culvert/crypto/trust.h"
#include "vector_file.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

// Within the life of PKITS' certificates (2010 to 2030), but for those that shall be expired.
constexpr WallTime test_time{std::chrono::sys_days(std::chrono::year(2026) / 6 / 1)};
constexpr std::string_view policy_prefix = "2.16.840.1.101.3.2.1.48.";  // NIST-test-policy-N
constexpr std::string_view any_policy = "2.5.29.32.0";

struct Case {
  std::string number;
  std::string title;
  std::string settings;
  std::string expected;
  std::string ours;  // where it differs
  std::string why;
};

std::string trimmed(std::string text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<Case> read_cases() {
  std::ifstream file(CULVERT_SOURCE_DIR "/tests/vectors/data/pkits.txt");
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::array<std::string, 6> fields;
    std::istringstream rest(line);
    for (std::string& field : fields) {
      std::getline(rest, field, '|');
      field = trimmed(field);
    }
    cases.push_back({fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]});
  }
  return cases;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

template <class T, class I2d>
Bytes der_of(T* value, I2d i2d) {
  std::uint8_t* der = nullptr;
  const int len = i2d(value, &der);
  REQUIRE(len > 0);
  Bytes bytes(der, der + len);
  OPENSSL_free(der);
  return bytes;
}

struct Path {
  std::vector<Certificate> certificates;  // the end entity first
  RevocationData revocation;
  int num_refused_crls = 0;
};

struct FreeCms {
  void operator()(CMS_ContentInfo* cms) const { CMS_ContentInfo_free(cms); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
  void operator()(STACK_OF(X509_CRL) * stack) const { sk_X509_CRL_pop_free(stack, X509_CRL_free); }
};

Path read_path(const std::string& title) {
  std::string name = title;
  std::erase_if(name, [](char c) { return c == ' ' || c == '-'; });
  const Bytes mail = read_file(cryptography_vectors() / "x509/PKITS_data/smime" / ("Signed" + name + ".eml"));
  const std::unique_ptr<BIO, FreeCms> in(BIO_new_mem_buf(mail.data(), static_cast<int>(mail.size())));
  BIO* content = nullptr;
  const std::unique_ptr<CMS_ContentInfo, FreeCms> cms(SMIME_read_CMS(in.get(), &content));
  const std::unique_ptr<BIO, FreeCms> content_owner(content);
  REQUIRE(cms);
  const std::unique_ptr<STACK_OF(X509), FreeCms> certificates(CMS_get1_certs(cms.get()));
  const std::unique_ptr<STACK_OF(X509_CRL), FreeCms> crls(CMS_get1_crls(cms.get()));
  CMS_SignerInfo* signer = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms.get()), 0);
  Path path;
  for (int i = 0; i < sk_X509_num(certificates.get()); ++i) {
    X509* x509 = sk_X509_value(certificates.get(), i);
    auto certificate = Certificate::from_der(der_of(x509, i2d_X509));
    REQUIRE_MESSAGE(certificate, title);
    const bool is_end_entity = CMS_SignerInfo_cert_cmp(signer, x509) == 0;
    path.certificates.insert(is_end_entity ? path.certificates.begin() : path.certificates.end(), *certificate);
  }
  for (int i = 0; i < sk_X509_CRL_num(crls.get()); ++i) {
    auto crl = Crl::from_file_content(der_of(sk_X509_CRL_value(crls.get(), i), i2d_X509_CRL));
    if (crl) path.revocation.crls.push_back(std::move(*crl));
    path.num_refused_crls += crl ? 0 : 1;
  }
  return path;
}

VerifyOptions options_of(const Case& test) {
  VerifyOptions options;
  options.now = test_time;
  options.revocation = RevocationPolicy::strict;
  std::istringstream words(test.settings);
  for (std::string word; words >> word;) {
    if (word == "any") options.policies.emplace_back(any_policy);
    if (word.find_first_not_of("0123456789") == std::string::npos)
      options.policies.push_back(std::string(policy_prefix) + word);
  }
  return options;
}

}  // namespace

TEST_CASE("every path of NIST PKITS gets NIST's verdict, or another one for the reason in its table") {
  const Bytes anchor_der = read_file(cryptography_vectors() / "x509/PKITS_data/certs/TrustAnchorRootCertificate.crt");
  const TrustStore store = TrustStore::create({Certificate::from_der(anchor_der).value()}).value();
  const std::vector<Case> cases = read_cases();
  CHECK(cases.size() == 247);
  int num_as_nist = 0;
  for (const Case& test : cases) {
    const Path path = read_path(test.title);
    const auto verified = store.verify(path.certificates, options_of(test), &path.revocation);
    const std::string actual = verified ? "valid" : std::string(trust_error_name(verified.error().reason));
    const std::string wanted = test.ours.empty() ? test.expected : test.ours;
    const char* remark = actual != wanted ? "MISMATCH" : test.ours.empty() ? "" : test.why.c_str();
    std::printf("%-9s %-58s %-15s NIST %-26s culvert %-26s %s\n", test.number.c_str(), test.title.c_str(),
                test.settings.c_str(), test.expected.c_str(), actual.c_str(), remark);
    if (actual != wanted && !verified) std::printf("          %s\n", verified.error().detail.c_str());
    CHECK_MESSAGE(actual == wanted, test.number);
    CHECK_MESSAGE((test.ours.empty() || !test.why.empty()), test.number);
    num_as_nist += (actual == "valid") == (test.expected == "valid") ? 1 : 0;
  }
  std::printf("PKITS: %zu cases, %d with NIST's verdict, %d others, each with its reason above\n", cases.size(),
              num_as_nist, static_cast<int>(cases.size()) - num_as_nist);
}
