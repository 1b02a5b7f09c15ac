// Mistakes of TOML itself, and text that is meant to hurt the parser.
#include "fixture.h"

using namespace culvert::config;
using namespace culvert::config::test;

namespace {

std::vector<Diagnostic> errors_of(std::string_view text) {
  const Folder folder;
  const auto config = parse(text, folder.file("gw.toml"));
  REQUIRE_FALSE(config.has_value());
  return config.error();
}

std::string repeated(std::string_view piece, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += piece;
  return text;
}

}  // namespace

TEST_CASE("a mistake of syntax has its line and column") {
  const auto open_string = errors_of("[gateway]\nid = \"paris\n");
  REQUIRE(open_string.size() == 1);
  CHECK(open_string[0].line == 2);
  CHECK(open_string[0].column >= 6);
  const auto twice = errors_of("[gateway]\nid = \"a\"\nid = \"b\"\n");
  REQUIRE(twice.size() == 1);
  CHECK(twice[0].line == 3);
  CHECK(errors_of("[gateway]\nid = \"\xff\"\n")[0].line == 2);
}

TEST_CASE("a table header that begins with no key is a mistake like any other") {
  for (const auto* text : {"[gateway]\n[;]\n", "[gateway]\n[;", "[gateway]\n[[=", "[gateway]\n[\xc3\xa4]\n"}) {
    CHECK(errors_of(text)[0].line == 2);
  }
}

TEST_CASE("letters beyond ASCII are welcome in strings and comments, and a mistake elsewhere") {
  const Folder folder;
  folder.write("schlüssel.psk", "a key of twenty-four byt\n");
  const std::string text =
      replaced(replaced(sound_gre, "good.psk", "schlüssel.psk"), "# end", "# Ende für heute, 終わり");
  CHECK(sound(folder, text).peers.size() == 1);
  const auto first = [](std::string_view wrong) {
    const auto found = errors_of("[gateway]\n" + std::string(wrong) + "\n");
    return std::to_string(found[0].line) + ":" + std::to_string(found[0].column);
  };
  CHECK(first("[tunnel.zürich]") == "2:10");
  CHECK(first("[tunnel.ω]") == "2:9");
  CHECK(first("id = \"ü\" ü") == "2:10");
  CHECK(first("id =\xc2\xa0\"a\"") == "2:5");  // a no-break space, as word processors write it
  CHECK(first("workers = 3é") == "2:12");
  CHECK(errors_of("[gateway]\nid = \"a.net\"\n\"ключ\" = 1\n")[0].key == "gateway.'ключ'");
}

TEST_CASE("a control character is refused where it stands") {
  // TOML 1.0 "Comment" and "String": U+0000 to U+0008, U+000A to U+001F and U+007F are not permitted.
  using namespace std::string_view_literals;
  for (const auto text :
       {"[gateway]\n[\0]\n"sv, "[gateway]\n#\0\n"sv, "[gateway]\n\"\x1b\" = 1\n"sv, "[gateway]\n\"\x7f\" = 1\n"sv}) {
    const auto found = errors_of(text);
    REQUIRE(found.size() == 1);
    CHECK(found[0].line == 2);
    CHECK(found[0].column == 2);
    CHECK(found[0].message.find("control character") != std::string::npos);
  }
  CHECK(errors_of("\t[gateway]\r\n\tid = 7\r\n")[0].message == "expected a string, got an integer");
}

TEST_CASE("text that would nest without end is refused before it is parsed") {
  CHECK(errors_of(repeated("a.", 500'000) + "b = 1\n")[0].message.find("more than 256 dots in one line") !=
        std::string::npos);
  CHECK(errors_of("x = " + repeated("[", 500'000))[0].line == 1);
  CHECK(errors_of("x = " + repeated("{a=", 300'000))[0].line == 1);
  // As deep as the bounds allow: 16 values in each other, each with the longest key.
  const std::string level = "{" + repeated("a.", 200) + "b=[\n";
  CHECK_FALSE(errors_of("x=" + repeated(level, 200)).empty());
  CHECK_FALSE(errors_of("x=" + repeated("[{" + repeated("a.", 250) + "b=\n", 8)).empty());
}

TEST_CASE("a file longer than 16 MiB is refused") {
  CHECK(errors_of(std::string((16 << 20) + 1, '#'))[0].message == "longer than 16777216 bytes");
}

TEST_CASE("a file that cannot be read is named, without a line") {
  const Folder folder;
  const auto missing = load(folder.file("none.toml"));
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error()[0].to_string() ==
        folder.file("none.toml").string() + ": cannot read: No such file or directory");
  const auto directory = load(folder.file("."));
  REQUIRE_FALSE(directory.has_value());
  CHECK(directory.error()[0].message == "cannot read: Is a directory");
}

TEST_CASE("all mistakes of a file come at once, in the order of the file") {
  const auto found = errors_of(
      "[gateway]\n"                           // 1
      "id = \"paris.example.net\"\n"          // 2
      "listn = [\"0.0.0.0\"]\n"               // 3
      "port = 70000\n"                        // 4
      "[peer.tokyo]\n"                        // 5
      "adress = [\"198.51.100.1\"]\n"         // 6
      "id = \"paris.example.net\"\n"          // 7
      "auth = { psk_file = \"none.psk\" }\n"  // 8
      "start = \"alway\"\n"                   // 9
      "[tunnel.a]\n"                          // 10
      "peer = \"tokio\"\n"                    // 11
      "carry = \"gre\"\n"                     // 12
      "device = \"cv 0\"\n"                   // 13
      "local = [\"10.1.0.0/16\"]\n"           // 14
      "[tunnel.b]\n"                          // 15
      "peer = \"tokyo\"\n"                    // 16
      "carry = \"ip\"\n"                      // 17
      "device = \"cv 0\"\n"                   // 18
      "remote = [\"10.1.2.3/16\"]\n");        // 19
  std::vector<std::string> seen;
  for (const auto& diagnostic : found) seen.push_back(std::to_string(diagnostic.line) + " " + diagnostic.key);
  const std::vector<std::string> expected = {"3 gateway.listn",
                                             "4 gateway.port",
                                             "6 peer.tokyo.adress",
                                             "7 peer.tokyo.id",
                                             "8 peer.tokyo.auth.psk_file",
                                             "9 peer.tokyo.start",
                                             "11 tunnel.a.peer",
                                             "13 tunnel.a.device",
                                             "14 tunnel.a.local",
                                             "15 tunnel.b.local",
                                             "18 tunnel.b.device",
                                             "18 tunnel.b.device",
                                             "19 tunnel.b.remote"};
  CHECK(seen == expected);
}
