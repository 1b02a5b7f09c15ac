#pragma once
#include <string>
#include <utility>
#include <vector>

namespace culvert::tunnel {

/// An open device or socket that somebody else owns.
struct NamedDescriptor {
  std::string name;  ///< at most 255 printable characters without ':', as systemd wants them
  int fd = -1;
};

/// Devices and sockets that a daemon before this one had open and that somebody (systemd) has kept so since, by name.
/// Owns what nobody takes, and closes it at its end. Control thread.
class KeptDescriptors {
 public:
  KeptDescriptors() = default;
  KeptDescriptors(KeptDescriptors&& other) noexcept : kept_(std::exchange(other.kept_, {})) {}
  KeptDescriptors& operator=(KeptDescriptors&& other) noexcept {
    std::swap(kept_, other.kept_);
    return *this;
  }
  KeptDescriptors(const KeptDescriptors&) = delete;
  KeptDescriptors& operator=(const KeptDescriptors&) = delete;
  ~KeptDescriptors() { close(); }

  void add(std::string name, int fd) { kept_.push_back({std::move(name), fd}); }  ///< takes `fd` over
  [[nodiscard]] bool has(const std::string& name) const noexcept;
  /// The descriptor, which is the caller's from here on; -1: there is none of that name.
  [[nodiscard]] int take(const std::string& name);
  /// Whether there is a queue of this device, and the device is still there: it is ours, then.
  [[nodiscard]] bool has_device(const std::string& device) const;
  /// Closes the queues of all devices but these.
  void close_other_devices(const std::vector<std::string>& wanted);
  void close();  ///< all that nobody has taken: devices go with their last descriptor
  [[nodiscard]] bool empty() const noexcept { return kept_.empty(); }

 private:
  std::vector<NamedDescriptor> kept_;
};

/// "tun.INDEX.DEVICE"
[[nodiscard]] std::string queue_name(const std::string& device, unsigned index);

}  // namespace culvert::tunnel
