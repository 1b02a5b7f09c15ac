#include "after_stop.h"

#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "culvert/base/log.h"
#include "netlink_linux.h"
#include "state_dir.h"

namespace culvert::daemon {
namespace {

constexpr const char* private_socket = "unix:path=/run/systemd/private";  // no message bus has to run for it
constexpr const char* manager_path = "/org/freedesktop/systemd1";
constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";
constexpr const char* unit_interface = "org.freedesktop.systemd1.Unit";
constexpr const char* job_interface = "org.freedesktop.systemd1.Job";
constexpr std::uint64_t patience_us = 2'000'000;

struct CloseBus {
  void operator()(sd_bus* bus) const noexcept { sd_bus_flush_close_unref(bus); }
};
struct DropMessage {
  void operator()(sd_bus_message* message) const noexcept { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, CloseBus>;
using Message = std::unique_ptr<sd_bus_message, DropMessage>;

Bus connect() {
  sd_bus* raw = nullptr;
  if (sd_bus_new(&raw) < 0) return nullptr;
  Bus bus(raw);
  if (sd_bus_set_address(raw, private_socket) < 0 || sd_bus_start(raw) < 0) return nullptr;
  sd_bus_set_method_call_timeout(raw, patience_us);
  return bus;
}

/// What systemd is doing with the unit that this process belongs to: "stop", "restart", …; "": nothing, or it does not
/// say.
std::string job_of_our_unit() {
  const Bus bus = connect();
  if (!bus) return "";
  sd_bus_message* raw = nullptr;
  if (sd_bus_call_method(bus.get(), nullptr, manager_path, manager_interface, "GetUnitByPID", nullptr, &raw, "u",
                         static_cast<std::uint32_t>(getpid())) < 0)
    return "";
  const Message unit(raw);
  const char* unit_path = nullptr;
  if (sd_bus_message_read(unit.get(), "o", &unit_path) < 0) return "";
  if (sd_bus_get_property(bus.get(), nullptr, unit_path, unit_interface, "Job", nullptr, &raw, "(uo)") < 0) return "";
  const Message job(raw);
  std::uint32_t id = 0;
  const char* job_path = nullptr;
  if (sd_bus_message_read(job.get(), "(uo)", &id, &job_path) < 0 || id == 0) return "";
  char* type = nullptr;
  if (sd_bus_get_property_string(bus.get(), nullptr, job_path, job_interface, "JobType", nullptr, &type) < 0) return "";
  std::string text(type);
  std::free(type);
  return text;
}

bool failed() {
  const char* result = std::getenv("SERVICE_RESULT");  // systemd.exec(5)
  return result != nullptr && std::string_view(result) != "success";
}

}  // namespace

Result<void> clean_up_after_stop(const std::filesystem::path& state_dir) {
  if (failed()) return {};  // fail closed: nothing leaves in the clear until somebody has looked
  if (job_of_our_unit() == "restart") return {};
  const auto state = StateDir::open(state_dir);
  if (!state) return std::unexpected(state.error());
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  for (const auto& device : state->leftovers().devices) {
    const auto link = netlink->find_link(device.name);
    if (!link || link->index != device.ifindex) continue;
    if (auto removed = netlink->remove_link(link->index); !removed && removed.error().code != Errc::not_found)
      return removed;
  }
  for (const auto& guard : state->leftovers().guards)
    if (auto removed = netlink->remove_guard(guard.to, guard.table);
        !removed && removed.error().code != Errc::not_found)
      return removed;
  for (const IpPrefix& guard : state->leftovers().former_guards)
    if (auto removed = netlink->remove_guard(guard, main_table, former_protocol);
        !removed && removed.error().code != Errc::not_found)
      return removed;
  state->forget();
  return {};
}

}  // namespace culvert::daemon
