#include "service_manager.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "temp_dir.h"

using namespace culvert;
using daemon::ServiceManager;

namespace {

/// The other end of sd_notify(3), as its manual page has it: datagrams of lines, descriptors beside them.
class Listener {
 public:
  Listener() {
    const std::string path = (dir_.path() / "notify").string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~Listener() {
    unsetenv("NOTIFY_SOCKET");
    close(fd_);
  }
  /// "" when nothing comes; `num_passed` descriptors came with it.
  std::string next(int* num_passed = nullptr) {
    pollfd waiting{fd_, POLLIN, 0};
    if (poll(&waiting, 1, 100) != 1) return "";
    char text[4096];
    alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t len = recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
    int num = 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_type != SCM_RIGHTS) continue;
      num = static_cast<int>((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::vector<int> passed(static_cast<std::size_t>(num));
      std::memcpy(passed.data(), CMSG_DATA(header), passed.size() * sizeof(int));
      for (const int fd : passed) close(fd);
    }
    if (num_passed != nullptr) *num_passed = num;
    return {text, static_cast<std::size_t>(len)};
  }

 private:
  test::TempDir dir_;
  int fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

}  // namespace

TEST_CASE("without a service manager nothing is said and nothing kept") {
  unsetenv("NOTIFY_SOCKET");
  ServiceManager manager;
  CHECK_FALSE(manager.is_there());
  CHECK_FALSE(manager.watchdog_interval().has_value());
  manager.say_ready("1 of 1 peers up");
  manager.keep({{"tun.0.cv0", 0}});
  CHECK_FALSE(manager.keeps_any());
  CHECK(manager.take_kept().empty());
}

TEST_CASE("ready, status, reloading and stopping are said as sd_notify(3) has them; a status only when it changes") {
  Listener listener;
  ServiceManager manager;
  REQUIRE(manager.is_there());
  manager.say_ready("0 of 1 peers up");
  CHECK(listener.next() == "READY=1\nSTATUS=0 of 1 peers up");
  manager.say_status("0 of 1 peers up");
  CHECK(listener.next() == "");
  manager.say_status("1 of 1 peers up");
  CHECK(listener.next() == "STATUS=1 of 1 peers up");

  manager.say_reloading();
  const std::string reloading = listener.next();
  REQUIRE(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="));
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const auto said = std::stoull(reloading.substr(reloading.rfind('=') + 1));
  const auto us = static_cast<unsigned long long>(now.tv_sec) * 1'000'000 + static_cast<unsigned long long>(now.tv_nsec) / 1000;
  CHECK(said <= us);
  CHECK(us - said < 5'000'000);
  manager.say_ready("1 of 1 peers up");
  CHECK(listener.next() == "READY=1\nSTATUS=1 of 1 peers up");
  manager.say_stopping();
  CHECK(listener.next().starts_with("STOPPING=1"));
}

TEST_CASE("the watchdog is fed at half the time that it waits, and by the process that it is for") {
  Listener listener;
  setenv("WATCHDOG_USEC", "4000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  CHECK(ServiceManager().watchdog_interval() == Duration(std::chrono::seconds(2)));
  setenv("WATCHDOG_PID", std::to_string(getpid() + 1).c_str(), 1);
  CHECK_FALSE(ServiceManager().watchdog_interval().has_value());
  unsetenv("WATCHDOG_USEC");
  unsetenv("WATCHDOG_PID");
}

TEST_CASE("the manager is sent what is new, told to forget what is gone, and polls devices alone") {
  Listener listener;
  ServiceManager manager;
  int num = 0;
  manager.keep({{"udp.500.0.0.0.0.0", 0}, {"tun.0.cv0", 1}});
  CHECK(listener.next(&num) == "FDSTORE=1\nFDNAME=tun.0.cv0");
  CHECK(num == 1);
  CHECK(listener.next(&num) == "FDSTORE=1\nFDNAME=udp.500.0.0.0.0.0\nFDPOLL=0");
  CHECK(num == 1);
  CHECK(manager.keeps_any());
  manager.keep({{"udp.500.0.0.0.0.0", 0}, {"tun.0.cv0", 1}});
  CHECK(listener.next() == "");
  manager.keep({{"udp.500.0.0.0.0.0", 0}, {"tun.0.cv1", 1}});
  CHECK(listener.next() == "FDSTOREREMOVE=1\nFDNAME=tun.0.cv0");
  CHECK(listener.next() == "FDSTORE=1\nFDNAME=tun.0.cv1");
  CHECK(listener.next() == "");
}

TEST_CASE("kept descriptors are taken by name, once, and closed when nobody takes them") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  {
    tunnel::KeptDescriptors kept;
    kept.add("tun.0.gone", ends[0]);
    kept.add("udp.500.0.0.0.0.0", ends[1]);
    CHECK_FALSE(kept.has_device("gone"));  // a pipe is no queue of a device
    CHECK(kept.take("udp.500.0.0.0.0.0") == ends[1]);
    CHECK(kept.take("udp.500.0.0.0.0.0") == -1);
    kept.close_other_devices({"gone"});
    CHECK(fcntl(ends[0], F_GETFD) >= 0);
    kept.close_other_devices({"other"});
    CHECK(fcntl(ends[0], F_GETFD) == -1);
    CHECK(kept.empty());
  }
  CHECK(fcntl(ends[1], F_GETFD) >= 0);
  close(ends[1]);
}
