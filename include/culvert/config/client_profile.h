#pragma once
#include <expected>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/config/config.h"

namespace culvert::config {

/// What `culvert connect` reads: one gateway that we are a client of, in one flat table.
struct ClientProfile {
  std::string name;  ///< the file's, without .toml: of the connection, its socket, its state
  std::string device;
  std::vector<std::string> servers;  ///< names and addresses, in order of preference
  std::vector<std::uint16_t> ports;  ///< of the gateway: IKE, and IKE and ESP in UDP
  std::uint16_t tcp_port = 0;        ///< of the gateway; 0: none
  bool raw_esp = false;              ///< ESP may go without UDP
  bool dns = true;                   ///< use the servers and domains that the gateway gives
  bool kill_switch = false;          ///< nothing leaves but by the tunnel
  Config config;                     ///< for a daemon; its sockets and folders are still those of a gateway
};

/// 1 … 32 letters, digits, '_' and '-', not a '-' in front: it stands in names of files, and of an nftables table.
[[nodiscard]] bool is_client_name(std::string_view name) noexcept;

/// Either a whole valid profile or every mistake at once. Any thread.
[[nodiscard]] std::expected<ClientProfile, std::vector<Diagnostic>> load_client(const std::filesystem::path& file);
/// The same from text; `file` stands for it, gives the name, and secrets are looked up beside it.
[[nodiscard]] std::expected<ClientProfile, std::vector<Diagnostic>> parse_client(std::string_view text,
                                                                                 const std::filesystem::path& file);

}  // namespace culvert::config
