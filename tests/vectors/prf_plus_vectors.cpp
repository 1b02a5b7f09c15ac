// prf+ and the prf calls of IKEv2: NIST ACVP kdf-components-ikev2-1.0, as OpenSSL's
// test/recipes/30-test_evp_data/evpkdf_ikev2.txt carries it ("self_test_data.c" with SHA-256, group 13 case 241 with
// SHA-512); SHA-384, which stands there not at all, and the last block that prf+ can give, by Python's hmac module. RFC
// 7296 sections 2.13, 2.14, 2.17 and 2.18.
#include <doctest/doctest.h>

#include "culvert/crypto/prf.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::test;
using crypto::Prf;

namespace {

constexpr std::string_view ni = "3651fef5c9c35e93";
constexpr std::string_view nr = "c09a8b90a3f04d59";
constexpr std::string_view g_ir =
    "d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e289cd3f34dad4eb4df"
    "1a07685a4b8a94fa61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a36455172a8540b8a5d23a0143bed0390e"
    "e49b168269d75fffee9fb62be965993c";
constexpr std::string_view skeyseed = "efaa7ab0eaa85a3d0be2100cd4b6fe00ff5025a9eafddb3ef518e9f0d3fe60e6";
constexpr std::string_view spi_i = "8e5c3ae507221684";
constexpr std::string_view spi_r = "b1f201bb155c3acd";
constexpr std::string_view keymat_ike =
    "462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42010164af2111ebd762f6916ca9a6f0ee05c8b320e4ee2770"
    "5521de2589adea1878f1a551738af7c88dc4f0bb0c096a3f7d1f1a670fc79f49f678d60d665bb3710c8657f03ba9f62b9a818d7a228968c5"
    "06e237ae9502aa6db395c61ea6a3e79504f86b7368bfb5423df79e48809bbccd49fd826d024f63d7c2a5566400a12e736aa034510428f5ea"
    "008fe2fc16886fa388274ea6c2b4fcfc6141bf04f8207ef8afc224ea1059cb220dc0b23ac0e4ccda495a4e131b1d56e223aba5a48e8ed1f5";
constexpr std::string_view sk_d = "462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42";
constexpr std::string_view keymat_child =
    "23647677e7d403fa1e3006f19840aee18ad9fecc4215814c4131bdeba98433d8b0e31bfbbddf822abcce5e06486aa388022b75e27e1e68aa"
    "5983028b65282c730c5d49ef7606770376cfdec41f7cc435d816029989bc353d3b67b9fd1168ddcb8978850da9b752aee6a30d0086d2c4d7"
    "4ec0e03648a0dad334faf5fe88084e67b0f3e8fee8b5e1bd3850db540f1fb8cffe23c9e92cda209373f354880c246c753e2a0eca9cb73b99"
    "10a8531c4010e6768fa29f909e60af777fed6e739c3cfda03467e915d6f03fce9c41f5f9d578f8912d66a75457e79ee1d5bcc2be5c2f9bae";
constexpr std::string_view g_ir_child =
    "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41ea70e8fb916c4fa2"
    "7ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d04750484f854790f95e9ec01bc5bc461f24966"
    "462e359511329305038e94deb6dd42c2";
constexpr std::string_view keymat_child_dh =
    "6a919387a5fa2835fe8a8237e4a14845bd2b9930db87eff7adf268f62186004902dba9aa942d0259a0edc4120b932a503865b57ba8fb8811"
    "7ef5df7b26799cd8ba37aa5438108cb1a4fe117907c9d0597b708c3f11151fefd624d2317202b7c81430600e6fcbb6e1a8df2b4861ef2363"
    "d53de1be69057b0cf6634a7e7bfa97b3c2810623e2bd6757738777177036e9c3a39794456954bd41fc444a12507ab9cac69a0540d13c29db"
    "8510f566a691691baa2d9569dacc990d56a454bb444bcbbe8751b0550a5278812fc5ab4f28990dd6d608538d7ddde24dc81bdaaca7751fde";
constexpr std::string_view skeyseed_rekey = "90722c42bd849e9b72d240fc254174270fa8295de6f0338dafc303a9ec104f12";
constexpr std::string_view ni_512 =
    "834ea4753e9a06832072fa15e89e799035a1285ce241caf3b5c724ece8ecd0d2d1ac46fab3d9d86bf2ebf4cc8f93e06c5342415e14dfcbc9"
    "49574e1606f96f143e8aa8c80bccd376ff3d3bae0b134a04dd2ae557010e5d7a7552c6864fd8a82d99ffdfda97be97389a426d7259411b10"
    "dd9eefae2709141e654087a2056eb86daf95ef262328a2cdd90c61152dc2bbfcf4ccf4084557c3892603023a8b7045fc589a35143e10dcd1"
    "a73406ea923b21687a12134b6a1007e4aa2e37fffa4901dff6f3514e2b350f08175e194d3c6db75e03fd838d503cefa9e9604a4e18f330c0"
    "8142574a992465fea063875abaf144f47c50f32a0a83224e3eea739033af6b9f";
constexpr std::string_view nr_512 =
    "f833709de457fb58abe1d26e8decc8fe889d503954c4812ac0f41271394af7c148b15a241c2d6d6502c3c57dae854a97bfb3ccdcec650153"
    "578ccb51bdfe1c715e81f3d78488b1547a3c9e5617d9b78b46d06f56bb56423c88deaccd82e7a2a11add56651091682f0987332ea28a3204"
    "5a4d39609f364eb5e70468ecb7bbdcad6b41e04add11d97f300e8d0a0c2941f1cb64885f940ee2fa273477e910983e96913f58e37bfd68e3"
    "adcd6e813176e95fee7985f5526eedc3245c4746f5864d9e90bf80f6882f6a505adacd81d106576f7a6c705e37ce551235e012e64ec3be7b"
    "4f3f8889e664cc5ed7bcc4a88022a437439609b3019cde1948665a548e420d1e";
constexpr std::string_view spi_i_512 = "6e5f49d279f4fbbb";
constexpr std::string_view spi_r_512 = "ff7ae472aa4dd7af";
constexpr std::string_view skeyseed_512 =
    "3daa296c25dd8cbde8e9f5fe85498cb06339fc7aaa93f60987831a0fa79829e244afe92bd66590d8c7f1bc281badc619ed2c9762fdb913b0"
    "52842e50e3989863";
constexpr std::string_view keymat_512 =
    "2bd66826c397a19618e3133ace96f6168a04ef9afa53f2f07cecda9e0f6139c37cc6512551f523006b74d501c5dd1ae502689ece8a43ce7b"
    "3d866c7372176b1d5bc4a0b863f642351fd4822c79f0a8d97b03b09fa1393679149432798bea545f70c663675e751a68aeeb7b238ca79022"
    "9c7775e6a074becdfaad324ac546eeb5d0a9480b1aa06b6f225cbfac7447de3d8d292b0beb7d9a5b709c02946a10f8799dd4e4b18c6d10ce"
    "da39a82b9dae01efebe6c31735590ef7d44e1c8dbbad98dafe620843065e5141d7c57770234128599e3223139656dbb3d0c494faba482ae9"
    "740faa3d3957efd9d90fd24144bc9b317c7955722426a6719d0095d068fd0b63469140d1ef9ddefc43b2bcfff971a08a7e67e75b8f0ded8c"
    "4737175abf04c32b906fe7d53e8c3b11b3829db0082b73f44c042c285f079a3bd6c33f91559f31043e23bb0a79b83c93aaf1cfeaf6c5996e"
    "717869c2d7f6528c8acae6656a8430164886385441484107261de0d9a9b6b39a24812ccfa24c1f964aeac69ce6d00541";
constexpr std::string_view keymat_384 =
    "f5a1ca0e5891e3f5b438f1d72d249413df92218a4bbe338f407887d74c8fda1a2c25c79dd8d4da8464dfbbf8c42f0da3654a5db9cd83a7c8"
    "021bebd49fb47b5d07438d58df43ff660e082c524a44295dfd182ba509f353e2fc4885839b0a6c02e93f943234821568f337321992ec7134"
    "7d4f31deb2c01c2f6c5f5fbd40af7dd4b0a4de57e9290f8617090c0cbbeaabc63d9d8f7db9ae714e26f8c36ff08e0a0372b59a0ca47daf0d"
    "2cbcb6b96d9abc5a9318f5c1f56eecc53e5087d13b3f12311092872f0bc0f8b1e434650a1985d0d5223506e49a778556aa56019f97d52d5e"
    "eb02d5698c045baa6a66aa3ba4c055276caa62889d0c8d";

void check_prf_plus(Prf prf, ByteView key, std::initializer_list<ByteView> seed, std::string_view expected) {
  CHECK(to_hex(crypto::prf_plus(prf, key, seed, expected.size() / 2).view()) == expected);
}

}  // namespace

TEST_CASE("prf agrees with NIST on SKEYSEED, first and after a rekey") {
  Bytes nonces = hex(ni);
  append(nonces, hex(nr));
  CHECK(to_hex(crypto::prf(Prf::hmac_sha2_256, nonces, {hex(g_ir)}).view()) == skeyseed);
  CHECK(to_hex(crypto::prf(Prf::hmac_sha2_256, hex(sk_d), {hex(g_ir_child), hex(ni), hex(nr)}).view()) ==
        skeyseed_rekey);
}

TEST_CASE("prf+ agrees with NIST on the keys of an IKE SA") {
  check_prf_plus(Prf::hmac_sha2_256, hex(skeyseed), {hex(ni), hex(nr), hex(spi_i), hex(spi_r)}, keymat_ike);
  check_prf_plus(Prf::hmac_sha2_512, hex(skeyseed_512), {hex(ni_512), hex(nr_512), hex(spi_i_512), hex(spi_r_512)},
                 keymat_512);
}

TEST_CASE("prf+ agrees with NIST on the keys of a child SA, with and without a key exchange") {
  check_prf_plus(Prf::hmac_sha2_256, hex(sk_d), {hex(ni), hex(nr)}, keymat_child);
  check_prf_plus(Prf::hmac_sha2_256, hex(sk_d), {hex(g_ir_child), hex(ni), hex(nr)}, keymat_child_dh);
}

TEST_CASE("prf+ with SHA-384 agrees with Python over several blocks and a cut one") {
  Bytes key(48), seed(80);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<std::uint8_t>(64 + i);
  check_prf_plus(Prf::hmac_sha2_384, key, {seed}, keymat_384);
}

TEST_CASE("prf+ gives up to 255 blocks and refuses more") {
  const Secret all = crypto::prf_plus(Prf::hmac_sha2_512, as_bytes("k"), {as_bytes("s")}, 255 * 64);
  CHECK(to_hex(all.view().last(16)) == "61f41690451c9bba7e84e8a5c81da6f0");
  CHECK(crypto::prf_plus(Prf::hmac_sha2_512, as_bytes("k"), {as_bytes("s")}, 255 * 64 + 1).empty());
  CHECK(crypto::prf_plus(Prf::hmac_sha2_512, as_bytes("k"), {as_bytes("s")}, 0).empty());
}
