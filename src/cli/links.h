#pragma once
#include <string>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::cli {

/// A network device of the namespace that this thread is in.
struct Link {
  int index = 0;
  std::string name;
  std::string kind;  ///< "bridge", "vrf", "tun"; empty: a plain one
  int master = 0;    ///< index of the bridge, bond, … that it is a port of; 0: none
};

/// All of them, by rtnetlink(7). Blocks for as long as the kernel takes.
[[nodiscard]] Result<std::vector<Link>> list_links();
/// Every packet of a port is seen a second time on its bridge or bond, though not on a VRF.
[[nodiscard]] bool is_port(const Link& link, const std::vector<Link>& all);

}  // namespace culvert::cli
