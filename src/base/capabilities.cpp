#include "culvert/base/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace culvert {

void give_up_capabilities() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};  // 0: of this thread
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  [[maybe_unused]] const long done = ::syscall(SYS_capset, &header, none);  // giving up is never refused
}

}  // namespace culvert
