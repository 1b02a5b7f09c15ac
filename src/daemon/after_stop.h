#pragma once
#include <filesystem>

#include "culvert/base/result.h"

namespace culvert::daemon {

/// For ExecStopPost= of the unit. A culvertd whose devices the service manager keeps leaves its guards (the unreachable
/// routes behind those of the tunnels) when it ends, for it cannot know whether another one follows. Here it is known:
/// unless the service failed ($SERVICE_RESULT) or is being restarted, what the record in `state_dir` names is removed.
/// Errc::invalid: a culvertd runs there. As root.
[[nodiscard]] Result<void> clean_up_after_stop(const std::filesystem::path& state_dir);

}  // namespace culvert::daemon
