// The command line: what `culvert --help` shows.
#include <CLI/CLI.hpp>
#include <cstdlib>

#include "capture.h"
#include "client.h"
#include "client_export.h"
#include "commands.h"
#include "complete.h"
#include "output.h"

namespace culvert::cli {
namespace {

constexpr const char* footer =
    "Exit status: 0 done; 1 refused or failed; 2 wrong usage; 3 no daemon answers; 4 status --check: a configured "
    "tunnel is down.";

struct Arguments {
  std::string socket = "/run/culvert/control.sock";
  StatusOptions status;
  DoctorOptions doctor;
  std::string watch;
  bool drops_json = false, drops_all = false;
  std::string peer, file, gateway, user;
  bool rekey_ike = false, rekey_child = false;
  std::string key_type;
  ReloadOptions reload;
  unsigned confirm = 0;
  bool diff_json = false;
  CaptureArguments capture;
  PkiArguments pki;
  ExportArguments client_export;
  std::string shell;
  std::vector<std::string> words;  ///< to complete
  std::string client, run_dir = "/run/culvert", profile;
  bool background = false, is_profile = false;
  bool monitor_json = false;
  std::string level;
  PingOptions ping;
  bool mtu_json = false;
};

void add_status(CLI::App& app, Arguments& arguments) {
  CLI::App* status = app.add_subcommand("status", "peers and tunnels, up or down, and why");
  status->add_flag("--json", arguments.status.json, "one line of JSON with a stable schema (docs/control.md)");
  status->add_flag("--users", arguments.status.users, "who is connected, of peers with pools");
  status->add_flag("--check", arguments.status.check, "exit status 4 when a configured tunnel is down");
  status->add_option("--watch", arguments.watch, "show it again every SECONDS (0.1 to 3600; 2 when left out)")
      ->expected(0, 1)
      ->default_str("2")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("[SECONDS]");
}

void add_doctor(CLI::App& app, DoctorOptions& options) {
  CLI::App* doctor = app.add_subcommand(
      "doctor",
      "what is wrong, and what to do about it: peers, UDP 500 and 4500, NAT, MTU, routes, forwarding, firewall, clock, "
      "certificates, files, CPU and limits; with or without a running culvertd");
  doctor->add_option("--config", options.config, "configuration of the gateway")
      ->capture_default_str()
      ->type_name("FILE");
  doctor->add_flag("--json", options.json, "one line of JSON with a stable schema (docs/control.md)");
  doctor->add_flag(
      "--fix", options.fix,
      "make the changes that can do no harm: sysctls of forwarding and reverse path, modes of secret files");
}

CLI::App* add_drops(CLI::App& app, Arguments& arguments) {
  CLI::App* drops = app.add_subcommand("drops", "why packets were dropped, and how many");
  drops->add_flag("--json", arguments.drops_json, "one line of JSON, all reasons");
  drops->add_flag("--all", arguments.drops_all, "also reasons that never happened");
  return drops;
}

CLI::App* add_peer_command(CLI::App& app, const char* name, const char* description, Arguments& arguments) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("PEER", arguments.peer, "a [peer.NAME] of the configuration")->required();
  return command;
}

void add_monitor(CLI::App& app, Arguments& arguments) {
  CLI::App* monitor = app.add_subcommand(
      "monitor", "events as they happen: tunnels up and down and why, rekeys, moves, reloads; until Ctrl-C");
  monitor->add_option("PEER", arguments.peer, "only of this [peer.NAME] and its clients");
  monitor->add_flag("--json", arguments.monitor_json, "a line of JSON for each (docs/control.md)");
  CLI::App* trace = app.add_subcommand(
      "trace", "the IKE messages of the last attempts in words, and why they were refused; never a key");
  trace->add_option("PEER", arguments.peer, "of this [peer.NAME] and its clients; all, and strangers, when left out");
  trace->add_flag("--json", arguments.monitor_json, "one line of JSON (docs/control.md)");
}

void add_steering(CLI::App& app, Arguments& arguments) {
  add_peer_command(app, "reauth", "prove again who both ends are, by a new IKE SA beside the old one; nothing is lost",
                   arguments);
  app.add_subcommand("routes", "routes, guards and rules of culvertd: installed, missing, or shadowed, and by whom")
      ->add_flag("--json", arguments.monitor_json, "one line of JSON (docs/control.md)");
  CLI::App* level = app.add_subcommand("log-level", "how much is logged, until the next reload");
  level->add_option("LEVEL", arguments.level, "debug, info, warning or error; shown when left out")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  level->add_flag("--json", arguments.monitor_json, "one line of JSON (docs/control.md)");
}

void add_bugreport(CLI::App& app, Arguments& arguments) {
  CLI::App* report = app.add_subcommand("bugreport",
                                        "what somebody who is to help has to know: version, machine, configuration, "
                                        "status, drops, routes, trace, doctor; "
                                        "without secrets, but with names and addresses");
  report->add_option("FILE", arguments.file,
                     "where it goes (mode 0600, never overwritten); standard output when left out");
  report->add_option("--config", arguments.doctor.config, "configuration of the gateway")
      ->capture_default_str()
      ->type_name("FILE");
}

void add_ping(CLI::App& app, Arguments& arguments) {
  CLI::App* ping = app.add_subcommand("ping", "packets of its own through a tunnel: who answers, and how fast");
  PingOptions& options = arguments.ping;
  ping->add_option("PEER", arguments.peer, "a [peer.NAME] of the configuration, or a [tunnel.NAME]")->required();
  ping->add_option("-c,--count", options.request.count, "how many; without it until Ctrl-C")
      ->check(CLI::Range(1u, control::max_pings));
  ping->add_option("-i,--interval", options.interval_s, "seconds between them (1), 0.02 at least")
      ->check(CLI::Range(0.02, 60.0))
      ->type_name("SECONDS");
  ping->add_option("-s,--size", options.request.size, "bytes of inner packet (64)")
      ->check(CLI::Range(control::min_ping_size, control::max_ping_size))
      ->type_name("BYTES");
  ping->add_flag("-D,--dont-fragment", options.request.dont_fragment,
                 "DF on the outside: what the path does not carry in one piece is lost");
  ping->add_flag("--json", options.json, "one line of JSON at the end (docs/control.md)");
}

void add_mtu(CLI::App& app, Arguments& arguments) {
  CLI::App* mtu = add_peer_command(
      app, "mtu", "find the MTU of the path to a peer now, and say what is left of it inside", arguments);
  mtu->add_flag("--json", arguments.mtu_json, "one line of JSON (docs/control.md)");
}

CLI::App* add_rekey(CLI::App& app, Arguments& arguments) {
  CLI::App* rekey = add_peer_command(app, "rekey", "make new keys now; nothing is lost", arguments);
  CLI::Option* ike = rekey->add_flag("--ike", arguments.rekey_ike, "of the IKE SA only");
  rekey->add_flag("--child", arguments.rekey_child, "of its child SAs only")->excludes(ike);
  return rekey;
}

void add_reload(CLI::App& app, Arguments& arguments) {
  CLI::App* reload = app.add_subcommand(
      "reload", "read the configuration anew: all of it runs then, or, after a mistake, all stays as it was");
  ReloadOptions& options = arguments.reload;
  CLI::Option* confirm =
      reload->add_option("--confirm", arguments.confirm, "go back after SECONDS, unless --confirmed comes before that")
          ->check(CLI::Range(1u, 86400u))
          ->type_name("SECONDS");
  CLI::Option* dry_run = reload->add_flag("--dry-run", options.dry_run, "only show what would change, as `diff` does");
  CLI::Option* confirmed = reload->add_flag("--confirmed", options.confirmed, "what --confirm waits for");
  CLI::Option* revert = reload->add_flag("--revert", options.revert, "go back now instead");
  reload->add_flag("--json", options.json, "what changed as one line of JSON (docs/control.md)");
  confirm->excludes(dry_run, confirmed, revert);
  dry_run->excludes(confirmed, revert);
  confirmed->excludes(revert);
  CLI::App* diff = app.add_subcommand("diff", "what a reload would change, and what that does to tunnels that are up");
  diff->add_option("FILE", arguments.file, "instead of the configuration; for root alone");
  diff->add_flag("--json", arguments.diff_json, "one line of JSON (docs/control.md)");
}

void add_keys(CLI::App& app, Arguments& arguments) {
  app.add_subcommand("genpsk", "make a pre-shared key of 256 bits")
      ->add_option("FILE", arguments.file,
                   "where it goes (mode 0600, never overwritten); standard output when left out");
  CLI::App* genkey =
      app.add_subcommand("genkey", "make a private key for auth = { key = \"FILE\" }, print its public key");
  genkey->add_option("FILE", arguments.file,
                     "where it goes (mode 0600, never overwritten); standard output when left out");
  genkey->add_option("--type", arguments.key_type, "ed25519, p256, p384, p521, rsa2048, rsa3072 or rsa4096")
      ->default_str("ed25519")
      ->type_name("KIND");
  app.add_subcommand("pubkey", "print the public key of a private key, a public key or a certificate")
      ->add_option("FILE", arguments.file, "PEM; standard input when left out");
}

/// What all of `culvert pki` share.
CLI::App* add_pki_command(CLI::App& pki, const char* name, const char* description, PkiArguments& arguments) {
  CLI::App* command = pki.add_subcommand(name, description);
  command->add_option("--out,--dir", arguments.folder, "folder of the CA, and of what it makes")
      ->capture_default_str()
      ->type_name("DIR");
  command->add_option("--passphrase-file", arguments.passphrase_file, "of the CA's private key (mode 0600)")
      ->type_name("FILE");
  command->add_option("--days", arguments.days, "how long it is good")
      ->check(CLI::Range(1u, 36500u))
      ->type_name("DAYS");
  return command;
}

void add_key_options(CLI::App& command, PkiArguments& arguments) {
  command.add_option("--type", arguments.key_type, "p256, p384, p521, ed25519, rsa2048, rsa3072 or rsa4096")
      ->default_str("p256")
      ->type_name("KIND");
  command.add_flag("--force", arguments.force, "overwrite what is there");
}

void add_pki(CLI::App& app, PkiArguments& arguments) {
  CLI::App* pki =
      app.add_subcommand("pki", "a small certification authority in a folder: certificates in one command each");
  pki->require_subcommand(1);
  CLI::App* ca = add_pki_command(*pki, "ca", "make the CA: ca.pem and ca.key, for ten years", arguments);
  ca->add_option("--name", arguments.name, "what it is called")->required();
  ca->add_option("--permit", arguments.names,
                 "what it may speak for, and nothing else: domains (with all below them) and nets; may be repeated")
      ->type_name("DOMAIN|NET");
  add_key_options(*ca, arguments);
  CLI::App* gateway = add_pki_command(*pki, "gateway", "key and certificate of a gateway, for a year", arguments);
  gateway->add_option("NAME", arguments.names, "its domain names and addresses; the first is its identity")->required();
  add_key_options(*gateway, arguments);
  CLI::App* user = add_pki_command(*pki, "user", "key and certificate of a person, for a year", arguments);
  user->add_option("EMAIL", arguments.name, "whose")->required();
  add_key_options(*user, arguments);
  add_pki_command(*pki, "revoke", "withdraw certificates: writes a new ca.crl", arguments)
      ->add_option("NAME", arguments.name, "all that name it (domain, address, e-mail), or a file with one")
      ->required();
  add_pki_command(*pki, "crl", "renew ca.crl, for thirty days", arguments);
}

void add_client_command(CLI::App& app, ExportArguments& arguments) {
  CLI::App* client = app.add_subcommand("client", "profiles for the phones and laptops of users");
  client->require_subcommand(1);
  CLI::App* command = client->add_subcommand("export", "write what a client needs to connect to this gateway");
  command->add_option("USER", arguments.user, "who logs in; without --certificate by password, which is not written")
      ->required();
  command
      ->add_option("--for", arguments.format,
                   "ios, macos, windows, android (strongSwan's app), strongswan (NetworkManager), culvert")
      ->required()
      ->check(CLI::IsMember({"ios", "macos", "windows", "android", "strongswan", "culvert"}))
      ->type_name("CLIENT");
  command->add_option("--config", arguments.config, "configuration of the gateway")
      ->capture_default_str()
      ->type_name("FILE");
  command
      ->add_option("--peer", arguments.peer,
                   "the [peer.NAME] that it calls; the only one with address = \"any\" when left out")
      ->type_name("NAME");
  command->add_option("--server", arguments.server, "where the gateway is; its identity when left out")
      ->type_name("HOST");
  command->add_option("--name", arguments.name, "what the user sees; the gateway's identity when left out")
      ->type_name("TEXT");
  command
      ->add_option("--ca", arguments.ca,
                   "CA of the gateway's certificate, where the configuration does not have it; may be repeated")
      ->type_name("FILE");
  command
      ->add_option("--auth", arguments.auth,
                   "password (EAP-MSCHAPv2), certificate or eap-tls; what the peer takes when left out")
      ->check(CLI::IsMember({"password", "certificate", "eap-tls"}))
      ->type_name("WAY");
  command->add_option("--certificate", arguments.certificate, "of the user, PEM")->type_name("FILE");
  command->add_option("--key", arguments.key, "its private key, PEM of mode 0600")->type_name("FILE");
  command
      ->add_option("--passphrase-file", arguments.passphrase_file,
                   "of the exported key (mode 0600); one is made, and shown, when left out")
      ->type_name("FILE");
  command->add_option("--out", arguments.out, "where it goes; standard output when left out")->type_name("FILE");
  command->add_flag("--force", arguments.force, "overwrite what is there");
  command->add_flag("--qr", arguments.qr, "show it as a QR code");
}

void add_client(CLI::App& app, Arguments& arguments) {
  CLI::App* connect = app.add_subcommand(
      "connect", "become a gateway's client, as a profile says; in the foreground, until Ctrl-C or `disconnect`");
  connect->add_option("PROFILE", arguments.profile, "a file, or the name of one in /etc/culvert/clients")->required();
  connect->add_flag("-b,--background", arguments.background, "return when it is connected; logs to syslog");
  app.add_subcommand("disconnect", "end a client and bring the network back, also after a crash; opens the kill switch")
      ->add_option("NAME", arguments.profile, "of the profile; the only one that there is when left out");
}

const char* what_of(const Arguments& arguments) {
  if (arguments.rekey_ike) return "ike";
  return arguments.rekey_child ? "children" : "both";
}

std::optional<std::filesystem::path> optional_path(const std::string& file) {
  return file.empty() ? std::nullopt : std::optional<std::filesystem::path>(file);
}

/// Names of the peers that the daemon has; none when it does not answer at once.
std::vector<std::string> peer_names(const std::string& socket) {
  std::vector<std::string> names;
  const auto response = ask(socket, {"status", "", ""}, std::chrono::seconds(1));
  if (response && response->status)
    for (const auto& peer : response->status->peers) names.push_back(peer.name);
  return names;
}

/// A candidate a line, its help behind a tab.
ExitCode run_complete(const CLI::App& app, const Arguments& arguments) {
  std::string lines;
  for (const Candidate& candidate : complete(app, arguments.words, [&] { return peer_names(arguments.socket); }))
    lines += candidate.word + "\t" + candidate.help + "\n";
  return print(lines) ? ExitCode::ok : ExitCode::failed;
}

ExitCode run_completion(const std::string& shell) {
  return print(completion_script(shell)) ? ExitCode::ok : ExitCode::failed;
}

/// Of the subcommand that was given.
ExitCode dispatch(const CLI::App& app, const std::string& command, Arguments& arguments) {
  if (command == "status") {
    if (app.get_subcommand(command)->count("--watch") > 0)
      arguments.status.watch_seconds = arguments.watch.empty() ? 2.0 : std::strtod(arguments.watch.c_str(), nullptr);
    return run_status(arguments.socket, arguments.status);
  }
  if (command == "monitor") return run_monitor(arguments.socket, arguments.peer, arguments.monitor_json);
  if (command == "trace") return run_trace(arguments.socket, arguments.peer, arguments.monitor_json);
  if (command == "routes") return run_routes(arguments.socket, arguments.monitor_json);
  if (command == "log-level") return run_log_level(arguments.socket, arguments.level, arguments.monitor_json);
  if (command == "bugreport")
    return run_bugreport(arguments.socket, arguments.doctor.config, optional_path(arguments.file));
  if (command == "mtu") return run_mtu(arguments.socket, arguments.peer, arguments.mtu_json);
  if (command == "ping") return run_ping(arguments.socket, arguments.peer, arguments.ping);
  if (command == "drops") return run_drops(arguments.socket, arguments.drops_json, arguments.drops_all);
  if (command == "capture") return run_capture(arguments.socket, arguments.capture);
  if (command == "doctor") return run_doctor(arguments.socket, arguments.doctor);
  if (command == "reload") {
    if (arguments.confirm > 0) arguments.reload.confirm = arguments.confirm;
    return run_reload(arguments.socket, arguments.reload);
  }
  if (command == "diff") return run_diff(arguments.socket, optional_path(arguments.file), arguments.diff_json);
  if (command == "check") return arguments.is_profile ? run_check_profile(arguments.file) : run_check(arguments.file);
  if (command == "genpsk") return run_genpsk(optional_path(arguments.file));
  if (command == "genkey") return run_genkey(optional_path(arguments.file), arguments.key_type);
  if (command == "pubkey") return run_pubkey(optional_path(arguments.file));
  if (command == "pki") return run_pki(arguments.pki);
  if (command == "client") return run_client_export(arguments.client_export);
  if (command == "completion") return run_completion(arguments.shell);
  if (command == "complete") return run_complete(app, arguments);
  if (command == "manual") return print(manual(app)) ? ExitCode::ok : ExitCode::failed;
  if (command == "version") {
    std::puts("culvert " CULVERT_VERSION);
    return ExitCode::ok;
  }
  if (command == "connect") return run_connect(arguments.profile, arguments.run_dir, arguments.background);
  if (command == "disconnect") return run_disconnect(arguments.profile, arguments.run_dir);
  if (command == "redirect") return run_request(arguments.socket, {command, "", arguments.gateway});
  if (command == "kick") return run_request(arguments.socket, {command, "", arguments.user});
  return run_request(arguments.socket, {command, arguments.peer, command == "rekey" ? what_of(arguments) : ""});
}

void add_capture(CLI::App& app, CaptureArguments& options) {
  CLI::App* capture = app.add_subcommand(
      "capture", "packets inside and outside of the tunnels: a line each, or pcapng for Wireshark; until Ctrl-C");
  capture->add_option("PEER", options.name, "a peer or a tunnel; all when it is left out");
  capture->add_option("EXPRESSION", options.words, "which inner packets (with --outer: outer ones), as pcap-filter(7)");
  capture->add_option("-w,--write", options.file, "write pcapng (never over another file); - for standard output")
      ->type_name("FILE");
  capture->add_flag("--force", options.force, "write over FILE");
  capture->add_flag("--inner", options.inner, "only what is inside of tunnels");
  capture->add_flag("--outer", options.outer, "only IKE and ESP");
  CLI::Option* keys = capture->add_flag(
      "--keys", options.keys,
      "also the keys that open IKE and ESP, for tshark, as long as it captures: 60 seconds, or --seconds; needs "
      "allow_key_export = true");
  capture->add_option("--keys-to", options.keys_folder, "folder for them; FILE.keys when left out")
      ->needs(keys)
      ->type_name("FOLDER");
  capture->add_option("-c,--count", options.count, "end after so many packets")->type_name("NUMBER");
  capture->add_option("--seconds", options.seconds, "end after so long")->type_name("SECONDS");
  capture->add_option("--bytes", options.bytes, "end after so many bytes of packets")->type_name("BYTES");
  capture->add_option("-s,--snaplen", options.snaplen, "bytes to keep of each packet")
      ->check(CLI::Range(64u, 262144u))
      ->capture_default_str()
      ->type_name("BYTES");
}

void add_shell(CLI::App& app, Arguments& arguments) {
  app.add_subcommand("completion", "what a shell loads to complete culvert's commands, options and peers")
      ->add_option("SHELL", arguments.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app.add_subcommand("complete", "what may follow these words, a line each")
      ->group("")
      ->add_option("WORD", arguments.words, "the last one may be empty");
  app.add_subcommand("manual", "the manual page culvert(8), in roff")->group("");
}

void add_commands(CLI::App& app, Arguments& arguments) {
  app.footer(footer);
  app.require_subcommand(1);
  app.set_version_flag("--version", "culvert " CULVERT_VERSION);
  app.add_option("--socket", arguments.socket, "control socket of culvertd")
      ->envname("CULVERT_SOCKET")
      ->capture_default_str()
      ->type_name("PATH");
  app.add_option("--client", arguments.client,
                 "ask this client in place of the gateway, as in 'culvert --client NAME status'")
      ->type_name("NAME");
  app.add_option("--run-dir", arguments.run_dir, "of clients: sockets and state")
      ->envname("CULVERT_RUN_DIR")
      ->capture_default_str()
      ->type_name("DIR");
  add_status(app, arguments);
  add_monitor(app, arguments);
  add_ping(app, arguments);
  add_mtu(app, arguments);
  add_doctor(app, arguments.doctor);
  CLI::App* check = app.add_subcommand("check", "is this configuration sound? Prints every mistake at once");
  check->add_option("FILE", arguments.file, "configuration")->required();
  check->add_flag("--profile", arguments.is_profile, "FILE is a profile, for `culvert connect`");
  add_reload(app, arguments);
  add_keys(app, arguments);
  add_pki(app, arguments.pki);
  add_client_command(app, arguments.client_export);
  add_peer_command(app, "up", "bring a peer and its tunnels up", arguments);
  add_peer_command(app, "down", "take a peer and its tunnels down, until `up` or a restart", arguments);
  add_rekey(app, arguments);
  add_steering(app, arguments);
  add_bugreport(app, arguments);
  app.add_subcommand("redirect",
                     "send who calls and who is up to another gateway (RFC 5685), until `none` or a restart")
      ->add_option("GATEWAY", arguments.gateway, "a host name or an address; none: no more")
      ->required();
  app.add_subcommand("kick", "disconnect a client of a peer with pools; it may come again")
      ->add_option("USER", arguments.user, "its identity, its name (PEER/USER) or an address that it has")
      ->required();
  add_drops(app, arguments);
  add_capture(app, arguments.capture);
  add_shell(app, arguments);
  add_client(app, arguments);
  app.add_subcommand("version", "the version of this command");
  for (CLI::App* command : app.get_subcommands({}))
    command->fallthrough();  // --socket may stand behind the command too
}

}  // namespace

int run(int argc, const char* const* argv) {
  Arguments arguments;
  CLI::App app{"culvert: looks at and steers the culvertd of this machine", "culvert"};
  add_commands(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);  // prints help, version, or what is wrong
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  const CLI::App* chosen = app.get_subcommands().front();
  const std::string command = chosen->get_name();
  if (!arguments.client.empty()) arguments.socket = client_socket(arguments.run_dir, arguments.client);
  if (command == "pki") arguments.pki.command = chosen->get_subcommands().front()->get_name();
  return static_cast<int>(dispatch(app, command, arguments));
}

}  // namespace culvert::cli
